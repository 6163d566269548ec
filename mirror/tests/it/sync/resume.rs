//! Runs that are interrupted, and several processes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use billhook_mirror::sync::Window;
use jiff::{SignedDuration, Timestamp};

use super::{Stripe, assert_done, assert_equal, start, wait};
use crate::harness::{Mirror, on_each_store};

/// Waits until so many pages of a list were asked for.
async fn pages_read(stripe: &Stripe, pages: usize) {
    let asked = async {
        while stripe.requests_to("GET /v1/customers") < pages {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), asked).await.expect("the pages are asked for");
}

#[test]
fn a_run_goes_on_where_it_was_stopped() {
    on_each_store(async |mirror: Mirror| {
        let stripe = Stripe::start();
        stripe.simulator.account(|account| account.fill_customers(1_500));
        let runs = start(&mirror, &["customer"], Window::default()).await;
        for stop in 1..=6 {
            let running = stripe.syncer(&mirror, 1);
            pages_read(&stripe, stop * 2).await;
            running.stop().await;
        }
        let running = stripe.syncer(&mirror, 1);
        let over = wait(&mirror, &runs).await;
        running.stop().await;
        assert_done(&over);
        assert_equal(&stripe, &mirror, "customer", "customers").await;
        // A stop costs the page that was on its way.
        let asked = stripe.requests_to("GET /v1/customers");
        assert!((15..=15 + 7).contains(&asked), "{asked} pages were asked for");
    });
}

#[test]
fn a_segment_whose_holder_vanished_is_taken_over_and_the_holder_is_fenced_off() {
    on_each_store(async |mirror: Mirror| {
        let stripe = Stripe::start();
        stripe.simulator.account(|account| account.fill_customers(250));
        let runs = start(&mirror, &["customer"], Window::default()).await;
        // A process took the segments a minute ago and was killed.
        let past = Timestamp::now().saturating_sub(SignedDuration::from_secs(60)).expect("a time");
        let lease_end = past.saturating_add(SignedDuration::from_secs(30)).expect("a time");
        let claimed =
            mirror.store.claim_segments("node-0", Timestamp::now(), lease_end, 10, false).await.expect("read");
        assert_eq!(claimed.len(), 3, "two lists of customers and the one of test clocks");
        let running = stripe.syncer(&mirror, 4);
        assert_done(&wait(&mirror, &runs).await);
        running.stop().await;
        assert_equal(&stripe, &mirror, "customer", "customers").await;
        let lost = mirror.store.renew_segments("node-0", &[(claimed[0].id, claimed[0].token)], Timestamp::MAX).await;
        assert_eq!(lost.expect("read"), [0_i64; 0]);
    });
}

#[test]
fn two_processes_share_a_run() {
    on_each_store(async |mirror: Mirror| {
        let stripe = Stripe::start();
        stripe.simulator.account(|account| account.fill_customers(2_000));
        let runs = start(&mirror, &["customer"], Window::default()).await;
        let one = stripe.syncer_named(&mirror, 2, "node-1", stripe.api());
        let other = stripe.syncer_named(&mirror, 2, "node-2", stripe.api());
        assert_done(&wait(&mirror, &runs).await);
        one.stop().await;
        other.stop().await;
        assert_equal(&stripe, &mirror, "customer", "customers").await;
    });
}

#[test]
fn nothing_is_read_while_another_process_is_the_reader() {
    on_each_store(async |mirror: Mirror| {
        let stripe = Stripe::start();
        stripe.simulator.account(|account| account.fill_customers(2_000));
        let running = stripe.syncer(&mirror, 1);
        running.active.send_replace(false);
        let runs = start(&mirror, &["customer"], Window::default()).await;
        running.syncer.wake();
        let before = stripe.simulator.oracle().requests_total();
        tokio::time::sleep(Duration::from_millis(700)).await;
        assert_eq!(stripe.simulator.oracle().requests_total(), before, "longer than it takes to look for segments");
        running.active.send_replace(true);
        pages_read(&stripe, 3).await;
        running.active.send_replace(false);
        // What was being walked is free for others at once.
        let free = async {
            loop {
                let now = Timestamp::now();
                let claimed = mirror.store.claim_segments("node-2", now, now, 10, false).await.expect("read");
                if claimed.iter().any(|segment| segment.stream == "customer") {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), free).await.expect("given back before the lease ends");
        running.active.send_replace(true);
        assert_done(&wait(&mirror, &runs).await);
        running.stop().await;
        assert_equal(&stripe, &mirror, "customer", "customers").await;
    });
}

#[test]
fn doing_it_again_changes_nothing() {
    on_each_store(async |mirror: Mirror| {
        let stripe = Stripe::start();
        stripe.simulator.account(|account| account.fill_invoices(150, 3));
        assert_done(&stripe.backfill(&mirror, &["invoice"]).await);
        let first = mirror.rows("invoice_line_items").await.len();
        assert_done(&stripe.backfill(&mirror, &["invoice"]).await);
        assert_equal(&stripe, &mirror, "invoice", "invoices").await;
        assert_eq!((first, mirror.rows("invoice_line_items").await.len()), (450, 450));
        assert_eq!(mirror.dirty().await, []);
    });
}

#[test]
fn what_changes_while_it_is_paged_is_right_once_the_events_are_there() {
    on_each_store(async |mirror: Mirror| {
        let stripe = Stripe::start();
        stripe.simulator.account(|account| account.fill_customers(1_000));
        let pages = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&pages);
        stripe.simulator.faults().between_pages("/v1/customers", move |account| {
            let page = counter.fetch_add(1, Ordering::Relaxed);
            let ids = account.ids("customer");
            let (first, middle) = (ids[page * 7 % ids.len()].clone(), ids[ids.len() / 2].clone());
            let rename = |object: &mut serde_json::Map<String, serde_json::Value>| {
                object.insert("name".into(), format!("renamed {page}").into());
            };
            account.update("customer", &middle, Some("customer.updated"), rename).expect("there");
            account.remove("customer", &first, Some("customer.deleted")).expect("there");
            let id = account.new_id("cus_");
            let created = account.now();
            let object = serde_json::json!({ "id": id, "object": "customer", "created": created, "livemode": false, "name": null, "test_clock": null });
            account.insert(object, Some("customer.created"));
        });
        assert_done(&stripe.backfill(&mirror, &["customer"]).await);
        assert!(pages.load(Ordering::Relaxed) >= 10);
        // The events of that time arrive, in whatever order.
        let oracle = stripe.simulator.oracle();
        let mut events: Vec<serde_json::Value> = Vec::new();
        for event in oracle.events() {
            events.push(stripe.event(&event.id).await);
        }
        events.reverse();
        mirror.deliver(&events).await;
        stripe.settle_dirty(&mirror).await;
        let deleted = mirror.deleted_ids("customers").await;
        let living: Vec<String> =
            super::ids(&mirror, "customers").await.into_iter().filter(|id| !deleted.contains(id)).collect();
        let mut expected: Vec<String> = oracle.objects("customer").map(|(id, _)| id.to_owned()).collect();
        expected.sort();
        assert_eq!(living, expected);
        for row in mirror.rows("customers").await.into_iter().filter(|row| !deleted.contains(&row.id)) {
            let object: serde_json::Value = serde_json::from_str(&row.raw).expect("JSON");
            assert_eq!(object["name"], oracle.get("customer", &row.id).expect("there")["name"], "{}", row.id);
        }
    });
}
