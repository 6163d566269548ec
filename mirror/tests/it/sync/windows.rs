//! Whole lists, windows of them, and parts that idle workers take over.

use billhook_mirror::sync::{CreatedFilter, Window, runs};
use billhook_store::{SegmentEnd, Started};
use jiff::Timestamp;

use super::{Stripe, assert_done, assert_equal, ids, start, targets, wait};
use crate::harness::{Mirror, on_each_store};

#[test]
fn a_list_of_many_pages_is_copied_row_by_row() {
    on_each_store(async |mirror: Mirror| {
        let stripe = Stripe::start();
        stripe.simulator.account(|account| account.fill_customers(2_345));
        let runs = stripe.backfill(&mirror, &["customer"]).await;
        assert_done(&runs);
        assert_equal(&stripe, &mirror, "customer", "customers").await;
        let read: u64 = runs.iter().filter(|run| run.object == "customer").map(|run| run.objects).sum();
        assert!((2_345..2_345 + 1_000).contains(&read), "{read} objects were read");
        assert_eq!(mirror.dirty().await, [], "reads of one second are no doubt");
    });
}

#[test]
fn idle_workers_take_over_parts_and_one_worker_keeps_the_whole() {
    on_each_store(async |mirror: Mirror| {
        let stripe = Stripe::start();
        stripe.simulator.account(|account| account.fill_customers(3_000));
        let alone = start(&mirror, &["customer"], Window::default()).await;
        let running = stripe.syncer(&mirror, 1);
        let over = wait(&mirror, &alone).await;
        running.stop().await;
        let customers = over.iter().find(|run| run.object == "customer").expect("the run");
        assert_eq!(customers.segments_all, 2, "the list, and the list below test clocks");
        assert_eq!(customers.requests, 30, "not a request more than there are pages");
        let together = stripe.backfill(&mirror, &["customer"]).await;
        let customers = together.iter().find(|run| run.object == "customer").expect("the run");
        assert!(customers.segments_all > 3, "{customers:?}");
        assert!(customers.requests < 45, "sharing costs requests, but not many: {customers:?}");
        assert_equal(&stripe, &mirror, "customer", "customers").await;
    });
}

#[test]
fn a_window_holds_what_its_comparisons_say() {
    on_each_store(async |mirror: Mirror| {
        let stripe = Stripe::start();
        let created: Vec<(String, i64)> = stripe.simulator.account(|account| {
            account.fill_customers(300);
            let created =
                |id: &String| account.get("customer", id).expect("there")["created"].as_i64().expect("a time");
            account.ids("customer").into_iter().map(|id| (id.clone(), created(&id))).collect()
        });
        let (low, high) = (created[100].1, created[200].1);
        let filter = CreatedFilter { gt: Some(low), lte: Some(high), ..CreatedFilter::default() };
        assert_done(&stripe.backfill_window(&mirror, &["customer"], Window::from(filter)).await);
        let mut expected: Vec<String> =
            created.iter().filter(|(_, at)| low < *at && *at <= high).map(|(id, _)| id.clone()).collect();
        expected.sort();
        assert_eq!(ids(&mirror, "customers").await, expected);
    });
}

#[test]
fn the_same_window_is_joined_and_another_is_not() {
    on_each_store(async |mirror: Mirror| {
        let request = |window| runs::Request {
            targets: targets(&["product"]),
            window,
            trigger: "http",
            related: false,
            livemode: None,
        };
        let started = async |window| {
            let started = runs::start(&mirror.store, &request(window), Timestamp::now()).await.expect("started");
            started[0].run
        };
        let Started::New(first) = started(Window::default()).await else { panic!("nothing to join yet") };
        assert_eq!(started(Window::default()).await, Started::Joined(first));
        assert!(matches!(started(Window::since(5)).await, Started::New(_)));
        let empty = runs::start(&mirror.store, &request(Window { gte: Some(5), lt: Some(5) }), Timestamp::now()).await;
        assert!(matches!(empty, Err(runs::StartError::EmptyWindow)));
    });
}

#[test]
fn a_key_of_the_other_mode_reads_nothing() {
    on_each_store(async |mirror: Mirror| {
        let stripe = Stripe::start();
        stripe.simulator.account(|account| account.fill_customers(10));
        mirror.store.pin_setting("mode", "live").await.expect("written");
        let request = runs::Request {
            targets: targets(&["customer"]),
            window: Window::default(),
            trigger: "http",
            related: false,
            livemode: Some(false),
        };
        let refused = runs::start(&mirror.store, &request, Timestamp::now()).await;
        assert!(matches!(refused, Err(runs::StartError::Mode(_))), "{refused:?}");
        // A run that somebody else started is not read with such a key either.
        let unknown = runs::Request { livemode: None, ..request };
        let started = runs::start(&mirror.store, &unknown, Timestamp::now()).await.expect("started");
        let ids: Vec<i64> = started.iter().map(|started| started.run.run()).collect();
        let running = stripe.syncer(&mirror, 4);
        let over = wait(&mirror, &ids).await;
        running.stop().await;
        assert_eq!(over[0].end, Some(SegmentEnd::Failed));
        assert!(over[0].message.contains("use a key of the same mode"), "{}", over[0].message);
        assert_eq!(super::ids(&mirror, "customers").await, [""; 0]);
    });
}
