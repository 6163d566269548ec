//! A run that sleeps while its process is killed goes on in the next one, on both stores.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

use std::path::Path;
use std::time::Duration;

use billhook_testkit::sign::TEST_SECRET;
use billhook_testkit::{Server, ServerSettings, TestDatabase, sql, wait};
use serde_json::json;

/// Longest wait for something that must happen.
const PATIENCE: Duration = Duration::from_secs(60);

fn deliver(server: &Server, event_id: &str, invoice: &str) {
    let created = billhook_testkit::sign::now();
    let event = json!({
        "id": event_id, "object": "event", "api_version": "2026-10-28.endive", "created": created, "livemode": false,
        "pending_webhooks": 1, "request": null, "type": "invoice.payment_failed",
        "data": { "object": { "id": invoice, "object": "invoice", "livemode": false, "status": "open", "created": created } },
    });
    let response = server.client().deliver_body(TEST_SECRET, event.to_string().as_bytes()).unwrap();
    assert_eq!(response.status, 200, "{}", response.text());
}

/// What was told so far, without idempotency keys.
fn told(notices: &Path) -> Vec<String> {
    let text = std::fs::read_to_string(notices).unwrap_or_default();
    text.lines().map(|line| line.rsplit_once(' ').unwrap().0.to_owned()).collect()
}

#[test]
fn a_reminder_comes_once_although_the_process_was_killed_while_it_waited() {
    for database in TestDatabase::both("a_reminder_comes_once").unwrap() {
        let url = database.url();
        let settings = ServerSettings::new(env!("CARGO_BIN_EXE_reminder"), &url).unwrap();
        let notices = settings.directory().join("notices.txt");
        let settings = settings.set("REMINDER_NOTICES", notices.to_str().unwrap()).set("REMINDER_SECONDS", "8");
        let states = |state: &str| {
            let runs = sql::own_table(&url, "flow_runs");
            sql::number(&url, &format!("SELECT count(*) FROM {runs} WHERE state = '{state}'")).unwrap()
        };

        let server = settings.start().unwrap();
        deliver(&server, "evt_1", "in_1");
        // Stripe delivers at least once.
        deliver(&server, "evt_1", "in_1");
        wait::until("the run to sleep", PATIENCE, || (states("waiting") == 1).then_some(())).unwrap();
        server.kill9().unwrap();
        assert_eq!(told(&notices), ["notice in_1"]);

        let server = settings.start().unwrap();
        wait::until("the run to end", PATIENCE, || (states("succeeded") == 1).then_some(())).unwrap();
        assert_eq!(told(&notices), ["notice in_1", "remind in_1"]);
        assert!(server.terminate().unwrap().0.success());
    }
}
