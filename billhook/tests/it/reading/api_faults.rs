//! Faults A1 to A8: what Stripe's API does on a bad day. Each ends with every row equal to the account.

use std::process::Output;
use std::time::{Duration, Instant};

use billhook_simulator::{ApiFault, Limit, Permission, RateLimits};
use serde_json::{Value, json};

use super::world::{STRIPE_KEY, World, on_both, until};

/// Objects of a page.
const PAGE: usize = 100;

/// Makes plain objects of a kind, a second apart.
fn fill(world: &World, kind: &'static str, count: usize) {
    world.simulator.account(|account| {
        let first = account.now() - 1_000_000;
        for number in 0..count {
            let mut object = account.plain(kind);
            object.insert("created".to_owned(), json!(first + number as i64));
            object.insert("customer".to_owned(), Value::Null);
            account.insert(Value::Object(object), None);
        }
    });
}

fn told(output: &Output) -> String {
    format!("{}\n{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn a1_rate_limits_are_kept_and_storms_survived() {
    on_both("a1_rate_limits_are_kept_and_storms_survived", 21, |world| {
        const CONFIGURED: u32 = 60;
        const ALLOWED: u32 = 30;
        const PAGES: usize = 200;
        // The first split of a history looks for its beginning with some fifteen requests, whatever its size; one segment does
        // without, so that the requests counted here are those of the limit.
        let world = world
            .set("BILLHOOK_STRIPE_REQUESTS_PER_SECOND", &CONFIGURED.to_string())
            .set("BILLHOOK_SYNC_SEGMENTS_MAX", "1");
        fill(&world, "customer", PAGES * PAGE);
        world.simulator.set_limits(Some(RateLimits { global: 1_000, endpoint: ALLOWED }));
        world.succeed(&["backfill", "customer"]);
        let oracle = world.simulator.oracle();
        let requests = oracle.requests_to("GET /v1/customers");
        assert!(requests * 10 <= PAGES * 12, "{requests} requests for {PAGES} pages");
        assert!(oracle.busiest_second("") <= CONFIGURED as usize, "{} in one second", oracle.busiest_second(""));
        world.assert_equal("A1 with a limit below the configured rate");

        world.simulator.set_limits(None);
        fill(&world, "product", 10 * PAGE);
        for (retry_after, reason) in [(Some(1), None), (None, Some("global-rate")), (None, None)] {
            let reason = reason.map(str::to_owned);
            world.simulator.faults().api("", ApiFault::RateLimited { retry_after, reason }, Limit::Next(4));
        }
        world.succeed(&["backfill", "product"]);
        world.assert_equal("A1 after storms of 429");
    });
}

#[test]
fn a2_errors_of_stripe_are_tried_again_unless_it_says_not_to() {
    on_both("a2_errors_of_stripe_are_tried_again_unless_it_says_not_to", 22, |world| {
        fill(&world, "customer", 5 * PAGE);
        for status in [500, 502, 503, 409] {
            let fault = ApiFault::Status { status, should_retry: None };
            world.simulator.faults().api("/v1/customers", fault, Limit::Next(1));
        }
        world.succeed(&["backfill", "customer"]);
        world.assert_equal("A2 after errors that pass");

        fill(&world, "product", PAGE);
        let fault = ApiFault::Status { status: 500, should_retry: Some(false) };
        let fault = world.simulator.faults().api("/v1/products", fault, Limit::Always);
        let output = world.command(&["backfill", "product", "customer"]);
        assert_eq!(output.status.code(), Some(1), "{}", told(&output));
        assert!(told(&output).contains("req_"), "the request's id is told: {}", told(&output));
        assert_eq!(world.rows("customers"), 5 * PAGE as i64, "the other kind went on");
        world.simulator.faults().remove(fault);
        world.succeed(&["backfill", "product"]);
        world.assert_equal("A2 after the error that lasted");
    });
}

#[test]
fn a3_broken_answers_cost_bounded_time_and_memory() {
    on_both("a3_broken_answers_cost_bounded_time_and_memory", 23, |world| {
        fill(&world, "customer", 5 * PAGE);
        for fault in [
            ApiFault::HalfJson,
            ApiFault::Cut,
            ApiFault::Reset,
            ApiFault::Html,
            ApiFault::GzipBomb { bytes: 1 << 30 },
            ApiFault::HugePage { bytes: 50 << 20 },
        ] {
            let what = format!("A3 {fault:?}");
            world.simulator.faults().api("/v1/customers", fault, Limit::Next(1));
            world.succeed(&["backfill", "customer"]);
            world.assert_equal(&what);
        }
        world.simulator.faults().api("/v1/customers", ApiFault::Hang(Duration::from_secs(5)), Limit::Next(1));
        let started = Instant::now();
        world.succeed(&["backfill", "customer"]);
        assert!(started.elapsed() < Duration::from_secs(60), "{:?}", started.elapsed());
        world.assert_equal("A3 after an answer that took its time");
    });
}

#[test]
fn a4_lists_that_do_not_end_are_noticed() {
    on_both("a4_lists_that_do_not_end_are_noticed", 24, |world| {
        fill(&world, "customer", 8 * PAGE);
        // Once is a hiccup.
        for fault in [ApiFault::RepeatPage, ApiFault::EmptyPage, ApiFault::RepeatIds] {
            world.simulator.faults().api("/v1/customers", fault, Limit::Next(1));
        }
        world.succeed(&["backfill", "customer"]);
        world.assert_equal("A4 after single hiccups");
        for fault in [ApiFault::RepeatPage, ApiFault::EmptyPage] {
            let before = world.simulator.oracle().requests_total();
            let what = format!("{fault:?}");
            let id = world.simulator.faults().api("/v1/customers", fault, Limit::Always);
            let output = world.command(&["backfill", "customer"]);
            assert_eq!(output.status.code(), Some(1), "{what}: {}", told(&output));
            let requests = world.simulator.oracle().requests_total() - before;
            assert!(requests < 200, "{what}: {requests} requests");
            world.simulator.faults().remove(id);
        }
        world.succeed(&["backfill", "customer"]);
        world.assert_equal("A4 in the end");
    });
}

#[test]
fn a5_a_cursor_whose_object_is_gone_leaves_no_gap() {
    on_both("a5_a_cursor_whose_object_is_gone_leaves_no_gap", 25, |world| {
        fill(&world, "product", 12 * PAGE);
        // The deletions themselves are told by their events.
        let server = world.serve();
        world.simulator.faults().api("/v1/products", ApiFault::DeleteCursor, Limit::Next(3));
        world.succeed(&["backfill", "product"]);
        world.assert_becomes_equal("A5");
        drop(server);
    });
}

#[test]
fn a6_objects_that_change_while_they_are_paged_are_right_in_the_end() {
    on_both("a6_objects_that_change_while_they_are_paged_are_right_in_the_end", 26, |world| {
        let world = world.impatient();
        for kind in ["product", "customer", "coupon"] {
            fill(&world, kind, 10 * PAGE);
        }
        let server = world.serve();
        world.simulator.faults().api("", ApiFault::Mutate, Limit::Next(60));
        world.succeed(&["backfill", "product", "customer", "coupon"]);
        world.simulator.faults().clear();
        world.simulator.settle();
        world.assert_becomes_equal("A6");
        drop(server);
    });
}

#[test]
fn a7_a_revoked_key_pauses_and_a_new_one_goes_on() {
    on_both("a7_a_revoked_key_pauses_and_a_new_one_goes_on", 27, |world| {
        const NEW_KEY: &str = "sk_test_9876543210zyxwvutsrq";
        fill(&world, "customer", 40 * PAGE);
        let file = world.settings.directory().join("stripe.key");
        std::fs::write(&file, STRIPE_KEY).expect("the key's file");
        let world = world
            .set("STRIPE_SECRET_KEY", "")
            .set("BILLHOOK_STRIPE_SECRET_KEY_FILE", &file.display().to_string())
            .set("BILLHOOK_STRIPE_REQUESTS_PER_SECOND", "20");
        let server = world.serve();
        world.succeed(&["backfill", "customer", "--detach"]);
        until("the backfill is under way", || (world.rows("customers") > 0).then_some(()));
        world.simulator.account(|account| {
            account.add_key(NEW_KEY);
            account.revoke_key(STRIPE_KEY);
        });
        until("the program pauses", || (server.metrics().ok()?.sum("billhook_api_paused") > 0.0).then_some(()));
        until("the program says why", || server.log().contains("refuses the API key").then_some(()));
        let before = world.simulator.oracle().requests_total();
        let rows = world.rows("customers");
        assert!(rows < 40 * PAGE as i64, "the key was revoked too late to test anything");
        std::fs::write(&file, NEW_KEY).expect("the key's file");
        until("the backfill ends", || (world.rows("customers") == 40 * PAGE as i64).then_some(()));
        let after = world.simulator.oracle().requests_total() - before;
        assert!(after < 120, "{after} requests after the pause: the position was lost, or the pause was a hot loop");
        world.assert_becomes_equal("A7");
    });
}

#[test]
fn a7_a_resource_without_permission_does_not_stop_the_others() {
    on_both("a7_a_resource_without_permission_does_not_stop_the_others", 28, |world| {
        const RESTRICTED: &str = "rk_test_0123456789abcdefghij";
        fill(&world, "customer", PAGE);
        fill(&world, "payout", PAGE);
        world.simulator.account(|account| {
            account.add_restricted_key(RESTRICTED, Permission::Read, &[("payout", Permission::None)]);
        });
        let world = world.set("STRIPE_SECRET_KEY", RESTRICTED);
        let listed = world.succeed(&["backfill", "payout", "customer"]);
        assert!(listed.contains("no_permission"), "{listed}");
        assert_eq!((world.rows("customers"), world.rows("payouts")), (PAGE as i64, 0));
    });
}

#[test]
fn a8_long_embedded_lists_are_complete() {
    on_both("a8_long_embedded_lists_are_complete", 29, |world| {
        let lengths = [0_usize, 1, 10, 11, 99, 101, 250];
        world.simulator.account(|account| {
            for length in lengths {
                let id = account.new_id("in_");
                let lines: Vec<Value> = (0..length)
                    .map(|number| {
                        let mut line = account.plain("line_item");
                        line.insert("id".to_owned(), json!(account.new_id("il_")));
                        line.insert("amount".to_owned(), json!(number));
                        Value::Object(line)
                    })
                    .collect();
                let mut invoice = account.plain("invoice");
                invoice.insert("id".to_owned(), json!(id));
                invoice.insert("customer".to_owned(), Value::Null);
                let url = format!("/v1/invoices/{id}/lines");
                invoice.insert(
                    "lines".to_owned(),
                    json!({"object": "list", "data": lines, "has_more": false, "total_count": length, "url": url}),
                );
                account.insert(Value::Object(invoice), None);
            }
        });
        let all: usize = lengths.iter().sum();
        world.succeed(&["backfill", "invoice"]);
        until("every line has a row", || (world.rows("invoice_line_items") == all as i64).then_some(()));
        world.assert_equal("A8");
    });
}
