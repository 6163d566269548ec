//! What Stripe's lists do on bad days.

use billhook_mirror::sync::Window;
use billhook_simulator::{ApiFault, Limit};
use billhook_store::SegmentEnd;

use super::{Stripe, assert_done, assert_equal, start, wait};
use crate::harness::{Mirror, on_each_store};

async fn with_fault(mirror: &Mirror, customers: usize, fault: ApiFault, limit: Limit) -> (Stripe, SegmentEnd, String) {
    let stripe = Stripe::start();
    stripe.simulator.account(|account| account.fill_customers(customers));
    stripe.simulator.faults().api("/v1/customers", fault, limit);
    let runs = stripe.backfill(mirror, &["customer"]).await;
    let run = runs.into_iter().find(|run| run.object == "customer").expect("the run");
    (stripe, run.end.expect("it is over"), run.message)
}

#[test]
fn a_list_that_never_ends_is_given_up() {
    on_each_store(async |mirror: Mirror| {
        for fault in [ApiFault::RepeatPage, ApiFault::EmptyPage, ApiFault::Misordered] {
            let (stripe, end, message) = with_fault(&mirror, 500, fault.clone(), Limit::Always).await;
            assert_eq!(end, SegmentEnd::Failed, "{fault:?}");
            assert!(message.contains("/v1/customers") && message.contains("req_"), "{message}");
            let asked = stripe.requests_to("GET /v1/customers");
            assert!(asked < 40, "{fault:?}: {asked} requests");
        }
    });
}

#[test]
fn one_odd_page_is_read_again() {
    on_each_store(async |mirror: Mirror| {
        for fault in [ApiFault::RepeatPage, ApiFault::EmptyPage, ApiFault::Misordered, ApiFault::RepeatIds] {
            let (stripe, end, message) = with_fault(&mirror, 500, fault.clone(), Limit::ShareUpTo(0.5, 1)).await;
            assert_eq!((end, message.as_str()), (SegmentEnd::Done, ""), "{fault:?}");
            let ids = super::ids(&mirror, "customers").await;
            assert!(stripe.simulator.oracle().objects("customer").all(|(id, _)| ids.iter().any(|known| known == id)));
        }
    });
}

#[test]
fn a_deleted_cursor_leaves_no_gap() {
    on_each_store(async |mirror: Mirror| {
        let (stripe, end, message) = with_fault(&mirror, 800, ApiFault::DeleteCursor, Limit::Always).await;
        assert_eq!((end, message.as_str()), (SegmentEnd::Done, ""));
        let ids = super::ids(&mirror, "customers").await;
        let oracle = stripe.simulator.oracle();
        assert!(oracle.deleted("customer").next().is_some(), "a cursor was deleted");
        for (id, _) in oracle.objects("customer") {
            assert!(ids.iter().any(|known| known == id), "{id} is missing");
        }
    });
}

#[test]
fn a_deleted_cursor_of_a_list_without_times_leaves_no_gap() {
    on_each_store(async |mirror: Mirror| {
        let stripe = Stripe::start();
        stripe.simulator.account(|account| {
            for number in 0..450 {
                let id = account.new_id("pm_");
                let created = account.now() - 1_000 + number;
                account.insert(
                    serde_json::json!({ "id": id, "object": "payment_method", "type": "card", "created": created, "livemode": false }),
                    None,
                );
            }
        });
        stripe.simulator.faults().api("/v1/payment_methods", ApiFault::DeleteCursor, Limit::Next(4));
        assert_done(&stripe.backfill(&mirror, &["payment_method"]).await);
        let ids = super::ids(&mirror, "payment_methods").await;
        let oracle = stripe.simulator.oracle();
        assert!(oracle.deleted("payment_method").next().is_some(), "a cursor was deleted");
        assert!(oracle.objects("payment_method").all(|(id, _)| ids.iter().any(|known| known == id)));
    });
}

#[test]
fn errors_that_pass_delay_and_lose_nothing() {
    on_each_store(async |mirror: Mirror| {
        let fault = ApiFault::Status { status: 503, should_retry: Some(true) };
        let (stripe, end, message) = with_fault(&mirror, 700, fault, Limit::ShareUpTo(0.6, 20)).await;
        assert_eq!((end, message.as_str()), (SegmentEnd::Done, ""));
        assert_equal(&stripe, &mirror, "customer", "customers").await;
    });
}

#[test]
fn errors_that_stay_end_the_segment_and_hold_up_no_other_kind() {
    on_each_store(async |mirror: Mirror| {
        let stripe = Stripe::start();
        stripe.simulator.account(|account| {
            account.fill_customers(120);
            account.fill_invoices(30, 2);
        });
        let fault = ApiFault::Status { status: 500, should_retry: Some(false) };
        stripe.simulator.faults().api("/v1/customers", fault, Limit::Always);
        let runs = stripe.backfill(&mirror, &["customer", "invoice"]).await;
        let end = |object: &str| runs.iter().find(|run| run.object == object).expect("the run").end;
        assert_eq!((end("customer"), end("invoice")), (Some(SegmentEnd::Failed), Some(SegmentEnd::Done)));
        assert_equal(&stripe, &mirror, "invoice", "invoices").await;
    });
}

#[test]
fn a_page_that_is_too_large_is_asked_for_in_smaller_ones() {
    on_each_store(async |mirror: Mirror| {
        let stripe = Stripe::start();
        stripe.simulator.account(|account| account.fill_customers(60));
        stripe.simulator.faults().api("/v1/customers", ApiFault::HugePage { bytes: 40 << 20 }, Limit::Next(1));
        assert_done(&stripe.backfill(&mirror, &["customer"]).await);
        assert_equal(&stripe, &mirror, "customer", "customers").await;
    });
}

#[test]
fn a_key_that_is_refused_loses_no_position() {
    on_each_store(async |mirror: Mirror| {
        let stripe = Stripe::start();
        stripe.simulator.account(|account| {
            account.fill_customers(900);
            account.add_key("sk_test_second");
        });
        let runs = start(&mirror, &["customer"], Window::default()).await;
        let running = stripe.syncer(&mirror, 1);
        let asked = async {
            while stripe.requests_to("GET /v1/customers") < 3 {
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            }
        };
        asked.await;
        stripe.simulator.account(|account| account.revoke_key("sk_test_simulator"));
        let refused = async {
            while !stripe.simulator.oracle().requests().iter().any(|request| request.status == 401) {
                tokio::time::sleep(std::time::Duration::from_millis(2)).await;
            }
        };
        refused.await;
        running.stop().await;
        let running = stripe.syncer_named(&mirror, 1, "node-1", stripe.api_with_key("sk_test_second"));
        assert_done(&wait(&mirror, &runs).await);
        running.stop().await;
        assert_equal(&stripe, &mirror, "customer", "customers").await;
        let read = stripe.requests_to("GET /v1/customers");
        assert!(read <= 9 + 8, "{read} requests for nine pages");
    });
}
