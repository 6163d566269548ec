//! One object by its id.

use billhook_mirror::interpret::Policy;
use billhook_mirror::sync::single::{SingleError, recognise, single};
use jiff::Timestamp;
use serde_json::json;

use super::Stripe;
use crate::harness::{Mirror, on_each_store};

#[test]
fn the_longest_prefix_tells_the_kind() {
    let kind = |id| recognise(id, None).map_err(|error| error.to_string());
    assert_eq!(kind("sub_sched_1"), Ok("subscription_schedule"));
    assert_eq!(kind("sub_1"), Ok("subscription"));
    assert_eq!(kind("price_1"), Ok("price"), "as in the contract, although plans have such ids too");
    assert_eq!(kind("pyr_1"), Ok("refund"));
    assert_eq!(recognise("SUMMER", Some("coupon")).ok(), Some("coupon"));
    assert_eq!(recognise("pm_1", Some("payment_methods")).ok(), Some("payment_method"));
    assert!(matches!(recognise("SUMMER", None), Err(SingleError::Unrecognised)));
    let Err(SingleError::Ambiguous { candidates }) = recognise("card_1", None) else { panic!("cards are ambiguous") };
    assert_eq!(candidates, ["card", "payment_method"]);
}

#[test]
fn one_object_becomes_a_row() {
    on_each_store(async |mirror: Mirror| {
        let stripe = Stripe::start();
        let customers = stripe.simulator.account(|account| {
            account.insert(json!({ "id": "FREE", "object": "coupon", "created": 5, "livemode": false }), None);
            account.fill_customers(1)
        });
        let source = stripe.source(&mirror);
        let read =
            async |id: &str, hint| single(&mirror.store, &source, &Policy::default(), id, hint, Timestamp::now()).await;
        let found = read(&customers[0], None).await.expect("read");
        let json: serde_json::Value = serde_json::from_str(&found.json.expect("a row")).expect("JSON");
        assert_eq!(json, stripe.simulator.oracle().get("customer", &customers[0]).expect("there"));
        assert!(read("FREE", Some("coupon")).await.expect("read").found);
        assert!(!read("cus_none", None).await.expect("read").found);
        let error = read("il_1", None).await.expect_err("lines come with their invoice");
        assert!(matches!(error, SingleError::NotReadable { object: "line_item" }), "{error}");
    });
}
