//! One event delivered many times at once (W1): every delivery is acknowledged, and the event takes effect once.

use std::sync::Barrier;

use billhook_testkit::events::{self, fresh_id};
use billhook_testkit::sign::{TEST_SECRET, now};
use serde_json::json;

use super::mirror::Mirror;

/// Greatest number of simultaneous deliveries of one event.
const COPIES_MAX: usize = 50;

#[test]
fn simultaneous_duplicates_have_one_effect() {
    Mirror::on_each(
        "simultaneous_duplicates",
        |settings| settings,
        |mirror| {
            let (address, dialect) = (mirror.address(), mirror.dialect());
            let before = mirror.metrics();
            let mut sent = Vec::new();
            for copies in 1..=COPIES_MAX {
                let object =
                    json!({ "id": fresh_id("cus_"), "object": "customer", "name": format!("{copies} copies") });
                let event = events::event("customer.updated", now(), object, None);
                let start = Barrier::new(copies);
                let answers: Vec<(u16, String)> = std::thread::scope(|scope| {
                    let deliver = || {
                        let mut client = billhook_testkit::Client::new(address);
                        start.wait();
                        let answer = client.deliver(TEST_SECRET, &event).unwrap();
                        (answer.status, answer.text())
                    };
                    let threads: Vec<_> = (0..copies).map(|_| scope.spawn(deliver)).collect();
                    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
                });
                for answer in answers {
                    assert_eq!(answer, (200, r#"{"received":true}"#.to_owned()), "{copies} copies on {dialect}");
                }
                sent.push(event);
            }
            mirror.settle();
            for event in &sent {
                assert_eq!(mirror.stored(&event.id), 1, "{} on {dialect}", event.id);
            }
            let rows = mirror.rows("customers");
            for event in &sent {
                assert_eq!(rows[&event.object_id]["_source_event"], event.id.as_str());
            }
            let after = mirror.metrics();
            let effects = after.get("billhook_applied_total") - before.get("billhook_applied_total");
            assert_eq!(effects, COPIES_MAX as f64, "one effect an event on {dialect}");
            let written = after.sum("billhook_rows_written_total") - before.sum("billhook_rows_written_total");
            assert_eq!(written, COPIES_MAX as f64, "one write an event on {dialect}");
        },
    );
}
