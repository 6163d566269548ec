//! Embedded lists that Stripe cuts off.

use billhook_mirror::sync::{ApiSource, SourceOptions};

use super::{Stripe, assert_done, assert_equal, ids};
use crate::harness::{Mirror, on_each_store};

#[test]
fn embedded_lists_of_any_length_are_completed() {
    on_each_store(async |mirror: Mirror| {
        let stripe = Stripe::start();
        stripe.simulator.account(|account| {
            account.fill_invoices(3, 4);
            account.fill_invoices(2, 25);
            account.fill_invoices(1, 230);
        });
        assert_done(&stripe.backfill(&mirror, &["invoice"]).await);
        assert_eq!(mirror.dirty().await.len(), 3, "three show only their first lines");
        stripe.settle_dirty(&mirror).await;
        assert_eq!(ids(&mirror, "invoice_line_items").await.len(), 3 * 4 + 2 * 25 + 230);
        assert_equal(&stripe, &mirror, "invoice", "invoices").await;
        let long = mirror.rows("invoices").await.into_iter().map(|row| row.raw).max_by_key(String::len).expect("rows");
        let long: serde_json::Value = serde_json::from_str(&long).expect("JSON");
        assert_eq!(long["lines"]["data"].as_array().expect("a list").len(), 10, "the object stays as Stripe shows it");
    });
}

#[test]
fn lists_are_put_into_their_objects_when_that_is_wanted() {
    on_each_store(async |mirror: Mirror| {
        let stripe = Stripe::start();
        let invoices = stripe.simulator.account(|account| account.fill_invoices(1, 120));
        assert_done(&stripe.backfill(&mirror, &["invoice"]).await);
        let options = SourceOptions { auto_expand_lists: true, ..SourceOptions::default() };
        let source = ApiSource::new(stripe.api(), mirror.store.clone(), options);
        stripe.settle_dirty_with(&mirror, &source).await;
        let object = mirror.object("invoices", &invoices[0]).await.expect("a row");
        assert_eq!(object, stripe.simulator.oracle().get("invoice", &invoices[0]).expect("there"));
    });
}

#[test]
fn a_list_that_changes_while_it_is_paged_is_read_again() {
    on_each_store(async |mirror: Mirror| {
        let stripe = Stripe::start();
        let invoices = stripe.simulator.account(|account| account.fill_invoices(1, 230));
        assert_done(&stripe.backfill(&mirror, &["invoice"]).await);
        let invoice = invoices[0].clone();
        let mut changes = 0;
        stripe.simulator.faults().between_pages("/v1/invoices/", move |account| {
            changes += 1;
            if changes <= 2 {
                let change = |object: &mut serde_json::Map<String, serde_json::Value>| {
                    let lines = object["lines"]["data"].as_array_mut().expect("a list");
                    lines.remove(120);
                    object.insert("description".into(), format!("change {changes}").into());
                };
                account.update("invoice", &invoice, None, change).expect("there");
            }
        });
        stripe.settle_dirty(&mirror).await;
        assert_eq!(ids(&mirror, "invoice_line_items").await.len(), 228);
        assert_equal(&stripe, &mirror, "invoice", "invoices").await;
    });
}
