//! Faults A9 to A11, W2 and W13: events that are gone, never made, late, doubled or in two forms. The rows end equal all the same.

use std::time::Duration;

use billhook_simulator::{ClockMode, EndpointOptions, EventFault, Limit, Payload};
use billhook_testkit::sign::TEST_SECRET;
use billhook_testkit::sql;
use serde_json::{Value, json};

use super::world::{World, on_both, until};

/// Seconds in a day.
const DAY: i64 = 86_400;

/// Makes customers with their events.
fn customers(world: &World, count: usize) -> Vec<String> {
    world.simulator.account(|account| {
        let make = |_| {
            let mut customer = account.plain("customer");
            customer.insert("email".to_owned(), json!("someone@example.test"));
            account.insert(Value::Object(customer), Some("customer.created"))
        };
        (0..count).map(make).collect()
    })
}

/// Changes a customer, and says so in an event unless the faults prevent it.
fn rename(world: &World, id: &str, name: &str) {
    let event = Some("customer.updated");
    let renamed = world.simulator.account(|account| {
        account.update("customer", id, event, |customer| drop(customer.insert("name".to_owned(), json!(name))))
    });
    renamed.expect("the customer is there");
}

/// Finds that no event explains, as the program counts them.
fn drift(server: &billhook_testkit::Server) -> f64 {
    server.metrics().map_or(0.0, |metrics| metrics.sum("billhook_drift_found_total"))
}

#[test]
fn dropped_deliveries_are_caught_up() {
    on_both("dropped_deliveries_are_caught_up", 31, |world| {
        let world = world.impatient().set("BILLHOOK_RECONCILE_PERIOD_SECONDS", "0");
        let server = world.serve();
        let ids = customers(&world, 50);
        world.simulator.faults().events("", EventFault::Drop, Limit::Always);
        for (number, id) in ids.iter().enumerate() {
            rename(&world, id, &format!("Customer {number}"));
        }
        customers(&world, 20);
        world.simulator.settle();
        world.assert_becomes_equal("after every delivery was dropped");
        let read = server.metrics().expect("metrics").sum("billhook_catch_up_events_total{outcome=\"new\"}");
        assert!(read >= 70.0, "{read} events came from the list");
    });
}

#[test]
fn a9_a_gap_of_more_than_thirty_days_is_recorded_and_read_again() {
    on_both("a9_a_gap_of_more_than_thirty_days_is_recorded_and_read_again", 32, |world| {
        // Simulated time stays in the past, so that no event lies in the program's future.
        let start = jiff::Timestamp::now().as_second() - 90 * DAY;
        let world = world.with_clock(ClockMode::Fast { start, factor: 1 }, 32).impatient();
        let world = world.set("BILLHOOK_RECONCILE_PERIOD_SECONDS", "0");
        let ids = customers(&world, 30);
        let server = world.serve();
        world.succeed(&["backfill", "customer"]);
        until("the events are known up to now", || {
            let cursor = format!(
                "SELECT count(*) FROM {} WHERE key = 'events_cursor'",
                sql::own_table(&world.url(), "settings")
            );
            (world.number(&cursor) == 1).then_some(())
        });
        server.kill9().expect("it was running");
        for (number, id) in ids.iter().enumerate() {
            rename(&world, id, &format!("Gone unnoticed {number}"));
        }
        world.simulator.account(|account| account.advance(45 * DAY));
        let server = world.serve();
        let gaps = format!("SELECT count(*) FROM {}", sql::own_table(&world.url(), "gaps"));
        until("the gap is recorded", || (world.number(&gaps) == 1).then_some(()));
        world.assert_becomes_equal("A9");
        let status = world.succeed(&["sync", "status"]);
        assert!(status.contains("gap: events from "), "{status}");
        drop(server);
    });
}

#[test]
fn a10_events_of_older_shapes_end_in_the_rows_of_the_newest() {
    on_both("a10_events_of_older_shapes_end_in_the_rows_of_the_newest", 33, |world| {
        let world = world.impatient().set("BILLHOOK_RECONCILE_PERIOD_SECONDS", "0");
        let server = world.settings.start().expect("the program listens");
        let url = format!("http://{}/webhooks", server.address());
        for version in ["2020-08-27", "2025-03-31.basil"] {
            world.simulator.account(|account| {
                let api_version = Some(version.to_owned());
                account.add_endpoint(&EndpointOptions { api_version, ..EndpointOptions::new(&url, TEST_SECRET) });
            });
            let ids = world.simulator.account(|account| {
                ["subscription", "invoice", "charge", "coupon"].map(|kind| {
                    let object = account.plain(kind);
                    account.insert(Value::Object(object), Some(&format!("{}.created", event_prefix(kind))))
                })
            });
            assert_eq!(ids.len(), 4);
            world.simulator.settle();
            world.assert_becomes_equal(&format!("A10 with an endpoint of {version}"));
        }
    });
}

fn event_prefix(kind: &str) -> String {
    if kind == "subscription" { "customer.subscription".to_owned() } else { kind.to_owned() }
}

/// Confirmed finds of one kind. The account's settings, of which no event tells, are found in every test.
fn drifted(world: &World, object: &str) -> i64 {
    let table = sql::own_table(&world.url(), "drift");
    world.number(&format!("SELECT count(*) FROM {table} WHERE object = '{object}' AND confirmed_at IS NOT NULL"))
}

#[test]
fn a11_a_change_without_an_event_is_found_and_counted_once() {
    on_both("a11_a_change_without_an_event_is_found_and_counted_once", 34, |world| {
        let world = world.impatient();
        let server = world.serve();
        let ids = customers(&world, 20);
        world.simulator.settle();
        world.assert_becomes_equal("before the change");
        world.simulator.faults().events("", EventFault::NeverGenerated, Limit::Next(1));
        rename(&world, &ids[7], "Changed in silence");
        world.assert_becomes_equal("A11");
        until("the find is counted as drift", || (drifted(&world, "customer") == 1).then_some(()));
        assert!(drift(&server) >= 1.0);
        let listed = world.succeed(&["sync", "drift", "--json"]);
        assert!(listed.contains(&ids[7]) && listed.contains("name"), "{listed}");
        // Reading it once more must not find it again.
        world.succeed(&["backfill", "customer"]);
        assert_eq!(drifted(&world, "customer"), 1);
    });
}

#[test]
fn a_late_event_is_no_drift() {
    on_both("a_late_event_is_no_drift", 35, |world| {
        let world = world.impatient().set("BILLHOOK_RECONCILE_GRACE_SECONDS", "6");
        let server = world.serve();
        let ids = customers(&world, 5);
        world.simulator.settle();
        world.assert_becomes_equal("before the change");
        world.simulator.faults().events("", EventFault::Delay(Duration::from_secs(4)), Limit::Next(1));
        rename(&world, &ids[2], "Late");
        world.assert_becomes_equal("while the delivery is under way");
        world.simulator.settle();
        let open = format!("SELECT count(*) FROM {} WHERE confirmed_at IS NULL", sql::own_table(&world.url(), "drift"));
        until("every find is decided", || (world.number(&open) == 0).then_some(()));
        assert_eq!(drifted(&world, "customer"), 0);
        drop(server);
    });
}

#[test]
fn a_missed_deletion_is_found() {
    on_both("a_missed_deletion_is_found", 36, |world| {
        let world = world.impatient();
        let server = world.serve();
        let ids = customers(&world, 12);
        let product = world.simulator.account(|account| {
            let object = account.plain("product");
            account.insert(Value::Object(object), Some("product.created"))
        });
        world.simulator.settle();
        world.assert_becomes_equal("before the deletions");
        world.simulator.faults().events("", EventFault::NeverGenerated, Limit::Next(2));
        world.simulator.account(|account| {
            account.remove("customer", &ids[3], Some("customer.deleted")).expect("it is there");
            account.remove("product", &product, Some("product.deleted")).expect("it is there");
        });
        world.assert_becomes_equal("missed deletions");
        until("both are counted", || (drifted(&world, "customer") + drifted(&world, "product") == 2).then_some(()));
        assert!(drift(&server) >= 2.0);
    });
}

#[test]
fn w2_deliveries_out_of_order_and_doubled_end_equal() {
    on_both("w2_deliveries_out_of_order_and_doubled_end_equal", 37, |world| {
        let world = world.set("BILLHOOK_RECONCILE_PERIOD_SECONDS", "0");
        let server = world.serve();
        let faults = world.simulator.faults();
        faults.events("", EventFault::Reorder(Duration::from_millis(300)), Limit::Share(0.5));
        faults.events("", EventFault::Duplicate, Limit::Share(0.5));
        let ids = customers(&world, 20);
        for round in 0..10 {
            for id in &ids {
                rename(&world, id, &format!("Round {round}"));
            }
        }
        world.simulator.settle();
        world.assert_becomes_equal("W2");
        drop(server);
    });
}

#[test]
fn w13_thin_and_snapshot_events_of_one_change_have_one_effect() {
    on_both("w13_thin_and_snapshot_events_of_one_change_have_one_effect", 38, |world| {
        let world = world.set("BILLHOOK_RECONCILE_PERIOD_SECONDS", "0");
        for payload in [Payload::Both, Payload::Thin] {
            let server = world.settings.start().expect("the program listens");
            let url = format!("http://{}/webhooks", server.address());
            world.simulator.account(|account| {
                let known: Vec<String> =
                    account.all("webhook_endpoint").filter_map(|one| one["id"].as_str().map(str::to_owned)).collect();
                for id in known {
                    account.remove("webhook_endpoint", &id, None).expect("it is there");
                }
                account.add_endpoint(&EndpointOptions { payload, ..EndpointOptions::new(&url, TEST_SECRET) });
            });
            world.simulator.faults().events("", EventFault::Reorder(Duration::from_millis(200)), Limit::Share(0.5));
            for id in customers(&world, 15) {
                rename(&world, &id, "Both ways");
            }
            world.simulator.settle();
            world.assert_becomes_equal(&format!("W13 {payload:?}"));
            let dirty = format!("SELECT count(*) FROM {}", sql::own_table(&world.url(), "dirty"));
            until("no mark is left", || (world.number(&dirty) == 0).then_some(()));
            world.simulator.faults().clear();
        }
    });
}
