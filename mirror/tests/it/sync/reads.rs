//! Objects that are read one by one: doubts, thin events, references.

use std::sync::Arc;

use billhook_mirror::interpret::{Policy, ReadPolicy};
use billhook_mirror::reread::{ObjectSource, Read, Unreadable, reread};
use billhook_mirror::sync::{Window, runs};
use billhook_simulator::Permission;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::{Stripe, ids, targets, wait};
use crate::harness::{Mirror, event, on_each_store};

fn object(kind: &str, id: &str, created: i64) -> serde_json::Value {
    json!({ "id": id, "object": kind, "created": created, "livemode": false })
}

#[test]
fn objects_are_read_by_every_form_of_path() {
    on_each_store(async |mirror: Mirror| {
        let stripe = Stripe::start();
        stripe.simulator.account(|account| {
            account.insert(object("coupon", "50% off/now", 5), None);
            account.insert(json!({ "object": "balance", "livemode": false, "available": [] }), None);
            account.insert(object("v2.core.event_destination", "ed_1", 5), None);
        });
        let source = stripe.source(&mirror);
        for (kind, id) in [("coupon", "50% off/now"), ("balance", "self"), ("v2.core.event_destination", "ed_1")] {
            let read = source.read(kind, id, "").await;
            assert!(matches!(read, Read::Found { .. }), "{kind}: {read:?}");
        }
        assert!(matches!(source.read("coupon", "none", "").await, Read::Gone { read_at } if read_at > 0));
        assert_eq!(source.read("line_item", "il_1", "").await, Read::Never(Unreadable::NoPath));
    });
}

#[test]
fn what_the_key_may_not_read_is_asked_for_once() {
    on_each_store(async |mirror: Mirror| {
        let stripe = Stripe::start();
        stripe.simulator.account(|account| {
            account.add_restricted_key("rk_test_1", Permission::Read, &[("product", Permission::None)]);
            account.insert(object("product", "prod_1", 5), None);
        });
        let options = billhook_mirror::sync::SourceOptions::default();
        let source =
            billhook_mirror::sync::ApiSource::new(stripe.api_with_key("rk_test_1"), mirror.store.clone(), options);
        assert_eq!(source.read("product", "prod_1", "").await, Read::Never(Unreadable::NoPermission));
    });
}

#[test]
fn references_that_the_mirror_lacks_are_fetched() {
    on_each_store(async |mirror: Mirror| {
        let stripe = Stripe::start();
        stripe.simulator.account(|account| {
            account.fill_customers(5);
            account.fill_invoices(12, 1);
        });
        let request = runs::Request {
            targets: targets(&["invoice"]),
            window: Window::default(),
            trigger: "http",
            related: true,
            livemode: Some(false),
        };
        let started = runs::start(&mirror.store, &request, Timestamp::now()).await.expect("started");
        let running = stripe.syncer(&mirror, 2);
        wait(&mirror, &[started[0].run.run()]).await;
        running.stop().await;
        assert_eq!(ids(&mirror, "customers").await, [""; 0]);
        stripe.settle_dirty(&mirror).await;
        let wanted: std::collections::BTreeSet<String> = mirror
            .rows("invoices")
            .await
            .iter()
            .map(|row| {
                let invoice: serde_json::Value = serde_json::from_str(&row.raw).expect("JSON");
                invoice["customer"].as_str().expect("an id").to_owned()
            })
            .collect();
        assert_eq!(ids(&mirror, "customers").await, wanted.into_iter().collect::<Vec<_>>());
    });
}

#[test]
fn references_that_arrive_meanwhile_cost_no_request() {
    on_each_store(async |mirror: Mirror| {
        let stripe = Stripe::start();
        stripe.simulator.account(|account| {
            account.fill_customers(5);
            account.fill_invoices(12, 1);
        });
        let request = |kind: &str| runs::Request {
            targets: targets(&[kind]),
            window: Window::default(),
            trigger: "http",
            related: true,
            livemode: Some(false),
        };
        for kind in ["invoice", "customer"] {
            let started = runs::start(&mirror.store, &request(kind), Timestamp::now()).await.expect("started");
            let running = stripe.syncer(&mirror, 2);
            wait(&mirror, &started.iter().map(|started| started.run.run()).collect::<Vec<_>>()).await;
            running.stop().await;
        }
        stripe.settle_dirty(&mirror).await;
        assert_eq!(stripe.requests_to("GET /v1/customers/{id}"), 0);
    });
}

#[test]
fn events_of_another_release_train_and_of_named_kinds_are_checked_by_a_read() {
    on_each_store(async |mirror: Mirror| {
        let revalidate = ["product".to_owned()].into();
        let reads = ReadPolicy { revalidate, version: "2026-10-28.endive".into(), related: false };
        let policy = Policy { reads: Some(Arc::new(reads)), ..Policy::default() };
        let mut old = event("evt_1", "price.updated", 1_700_000_000, object("price", "price_1", 5), None);
        old["api_version"] = "2025-03-31.basil".into();
        let mut same_train = event("evt_2", "price.updated", 1_700_000_000, object("price", "price_2", 5), None);
        same_train["api_version"] = "2026-09-30.endive".into();
        let named = event("evt_3", "product.updated", 1_700_000_000, object("product", "prod_1", 5), None);
        mirror.deliver_under(&policy, &[old, same_train, named]).await;
        let mut dirty = mirror.dirty().await;
        dirty.sort();
        assert_eq!(
            dirty,
            [("price_1".to_owned(), "api_version".to_owned()), ("prod_1".to_owned(), "revalidate".to_owned())]
        );
    });
}

#[test]
fn what_cannot_be_read_now_holds_up_nothing_else() {
    struct OneIsAway;
    impl ObjectSource for OneIsAway {
        async fn read(&self, _object: &str, id: &str, _account: &str) -> Read {
            match id {
                "prod_1" => Read::Later,
                _ => Read::Gone { read_at: 1_700_000_100 },
            }
        }
    }
    on_each_store(async |mirror: Mirror| {
        let product = |id: &str, name: &str| json!({ "id": id, "object": "product", "name": name });
        for id in ["prod_1", "prod_2"] {
            for (number, name) in ["one", "two"].into_iter().enumerate() {
                let id_of_event = format!("evt_{id}_{number}");
                mirror.deliver(&[event(&id_of_event, "product.updated", 1_700_000_000, product(id, name), None)]).await;
            }
        }
        let now = Timestamp::from_second(1_700_000_100).expect("a time");
        let done = reread(&mirror.store, &OneIsAway, &Policy::default(), now, 10).await.expect("read");
        assert_eq!((done.settled, done.gone, done.postponed), (1, 1, 1));
        let again = reread(&mirror.store, &OneIsAway, &Policy::default(), now, 10).await.expect("read");
        assert_eq!(again.done(), 0, "it is put off");
        let later = now.saturating_add(SignedDuration::from_secs(60)).expect("a time");
        assert_eq!(reread(&mirror.store, &OneIsAway, &Policy::default(), later, 10).await.expect("read").postponed, 1);
    });
}

#[test]
fn what_a_read_found_to_be_gone_stays_gone_when_its_last_events_come_late() {
    struct AllIsGone;
    impl ObjectSource for AllIsGone {
        async fn read(&self, _object: &str, _id: &str, _account: &str) -> Read {
            Read::Gone { read_at: 1_700_000_100 }
        }
    }
    on_each_store(async |mirror: Mirror| {
        let changed = |id: &str, at: i64, name: &str| {
            event(id, "product.updated", at, json!({ "id": "prod_1", "object": "product", "name": name }), None)
        };
        // Two states of one second: a read has to decide.
        mirror.deliver(&[changed("evt_1", 1_700_000_000, "one")]).await;
        mirror.deliver(&[changed("evt_2", 1_700_000_000, "two")]).await;
        let now = Timestamp::from_second(1_700_000_100).expect("a time");
        let done = reread(&mirror.store, &AllIsGone, &Policy::default(), now, 10).await.expect("read");
        assert_eq!(done.gone, 1);
        let deleted = json!({ "id": "prod_1", "object": "product", "name": "three" });
        let deleted = event("evt_4", "product.deleted", 1_700_000_060, deleted, None);
        mirror.deliver(&[changed("evt_3", 1_700_000_050, "three"), deleted]).await;
        assert_eq!(ids(&mirror, "products").await, [""; 0]);
    });
}
