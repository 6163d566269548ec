//! The command line over the database of a running server.

use std::process::Output;

use billhook_testkit::ServerSettings;
use billhook_testkit::events::fresh_id;
use billhook_testkit::sign::{TEST_SECRET, now, sha256_hex};
use billhook_testkit::sql;
use serde_json::{Value, json};

use super::fixtures::event;
use super::mirror::Mirror;

const API_KEY: &str = "an-api-key-0123456789abcdef-Canary0815";
const STRIPE_KEY: &str = "sk_test_Canary08150123456789abcdef";

fn configured(settings: ServerSettings) -> ServerSettings {
    settings.set("API_KEY", API_KEY).set("STRIPE_SECRET_KEY", STRIPE_KEY)
}

/// Runs a command that has to succeed and gives what it printed.
fn run(mirror: &Mirror, arguments: &[&str]) -> String {
    let output = mirror.settings.command(arguments).output().unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "billhook {arguments:?} on {}: {:?}\n{told}", mirror.dialect(), output.status);
    String::from_utf8(output.stdout).unwrap()
}

fn run_json(mirror: &Mirror, arguments: &[&str]) -> Value {
    serde_json::from_str(&run(mirror, arguments)).unwrap()
}

/// Runs a command that has to fail with this exit code, and gives what it said.
fn fail(mirror: &Mirror, arguments: &[&str], code: i32) -> String {
    let Output { status, stderr, .. } = mirror.settings.command(arguments).output().unwrap();
    let told = String::from_utf8_lossy(&stderr).into_owned();
    assert_eq!(status.code(), Some(code), "billhook {arguments:?} on {}: {told}", mirror.dialect());
    assert!(!told.trim().is_empty(), "billhook {arguments:?} fails in silence");
    told
}

/// A customer that is in the mirror, and the event that brought it.
fn customer(mirror: &Mirror) -> (String, Value) {
    let id = fresh_id("cus_");
    let object = json!({ "id": id, "object": "customer", "name": "Ada", "email": "ada@example.com", "balance": 7 });
    let event = event(&fresh_id("evt_1"), "customer.updated", now(), object);
    mirror.accept_event(&event);
    mirror.settle();
    (id, event)
}

fn events_are_listed_and_shown(mirror: &Mirror) {
    let (customer, event) = customer(mirror);
    let event_id = event["id"].as_str().unwrap();
    let listed = run_json(mirror, &["events", "list", "--json", "--object", &customer]);
    assert_eq!(listed[0]["event_id"], event_id);
    assert_eq!((&listed[0]["type"], &listed[0]["state"]), (&json!("customer.updated"), &json!("applied")));
    assert_eq!(listed.as_array().unwrap().len(), 1);
    assert!(run(mirror, &["events", "list", "--type", "customer.updated"]).contains(event_id));
    assert!(!run(mirror, &["events", "list", "--type", "invoice.paid"]).contains(event_id));
    let shown = run_json(mirror, &["events", "show", event_id, "--json"]);
    assert_eq!(shown["body_sha256"], sha256_hex(event.to_string().as_bytes()).as_str());
    assert!(!shown.to_string().contains("ada@example.com"), "personal data is shown only when asked for");
    let shown = run_json(mirror, &["events", "show", event_id, "--json", "--body"]);
    assert_eq!(shown["body"], event);
    fail(mirror, &["events", "show", "evt_unknown"], 1);
}

fn a_replayed_event_repairs_its_row(mirror: &Mirror) {
    let (customer, event) = customer(mirror);
    let corrupt = format!("UPDATE {} SET name = 'Eve' WHERE id = '{customer}'", mirror.table("customers"));
    sql::execute(&mirror.url(), &corrupt).unwrap();
    let told = run(mirror, &["events", "replay", event["id"].as_str().unwrap()]);
    assert!(told.starts_with("1 of 1 queued"), "{told}");
    mirror.settle();
    assert_eq!(mirror.column("customers", &customer, "name"), "Ada", "on {}", mirror.dialect());
    let output = mirror.settings.command(&["events", "replay", "evt_unknown"]).output().unwrap();
    assert_eq!(output.status.code(), Some(1), "an unknown event is no success");
}

fn a_test_event_is_sent_and_found(mirror: &Mirror) {
    let url = format!("http://{}/webhooks", mirror.address());
    let told = run(mirror, &["events", "send-test", "--url", &url, "--type", "invoice.paid", "--count", "3"]);
    assert_eq!(told.matches("in table invoices").count(), 3, "{told}");
    fail(mirror, &["events", "send-test", "--url", &url, "--type", "invoice.payed"], 1);
}

fn quarantined_deliveries_are_listed_and_decided(mirror: &Mirror) {
    let ids: Vec<String> = (0..3).map(|_| fresh_id("evt_1")).collect();
    for id in &ids {
        let mut hostile = event(id, "customer.updated", now(), json!({ "id": "cus_x", "object": "customer" }));
        hostile["account"] = "acct_other".into();
        mirror.accept_event(&hostile);
    }
    mirror.settle();
    let open = || {
        let listed = run_json(mirror, &["quarantine", "list", "--json"]);
        let entries = listed.as_array().unwrap().iter();
        entries.filter(|entry| ids.iter().any(|id| entry["event_id"] == id.as_str())).count()
    };
    assert_eq!(open(), 3, "on {}", mirror.dialect());
    assert!(run(mirror, &["quarantine", "show", &ids[0]]).contains("wrong_account"));
    assert!(run(mirror, &["quarantine", "retry", &ids[0]]).starts_with("1 of 1"));
    mirror.settle();
    assert_eq!(open(), 3, "what is still wrong is set aside again, on {}", mirror.dialect());
    assert!(run(mirror, &["quarantine", "drop", &ids[0]]).starts_with("1 of 1"));
    assert_eq!(open(), 2, "on {}", mirror.dialect());
    run(mirror, &["quarantine", "drop", "--reason", "wrong_account"]);
    assert_eq!(open(), 0, "on {}", mirror.dialect());
    assert_eq!(mirror.stored(&ids[0]), 1, "a dropped entry keeps its delivery");
    fail(mirror, &["quarantine", "drop", &ids[0]], 1);
}

fn a_rebuild_repairs_every_column(mirror: &Mirror) {
    let (customer, _) = customer(mirror);
    let whole = mirror.row("customers", &customer).unwrap();
    let corrupt = format!(
        "UPDATE {} SET name = NULL, email = 'x', balance = -1 WHERE id = '{customer}'",
        mirror.table("customers")
    );
    sql::execute(&mirror.url(), &corrupt).unwrap();
    assert_ne!(mirror.row("customers", &customer).unwrap(), whole);
    assert!(run(mirror, &["rebuild", "customers"]).contains("rewritten"));
    assert_eq!(mirror.row("customers", &customer).unwrap(), whole, "on {}", mirror.dialect());
    fail(mirror, &["rebuild", "customers; DROP TABLE customers"], 1);
}

fn the_rest_tells_what_it_should(mirror: &Mirror) {
    let findings = run_json(mirror, &["doctor", "--json"]);
    assert!(findings.as_array().is_some_and(|findings| findings.len() > 3), "{findings}");
    let schema = run(mirror, &["prisma"]);
    for part in ["datasource db", "model ", "customers"] {
        assert!(schema.contains(part), "schema.prisma has no {part} on {}", mirror.dialect());
    }
    for arguments in [&["config", "print"][..], &["config", "print", "--json"], &["doctor"], &["config", "check"]] {
        let told = run(mirror, arguments);
        for secret in [TEST_SECRET, API_KEY, STRIPE_KEY, "Canary0815"] {
            assert!(!told.contains(secret), "billhook {arguments:?} shows a secret on {}", mirror.dialect());
        }
    }
    assert!(run(mirror, &["config", "print"]).contains("stripe.webhook_secret"));
    assert!(run(mirror, &["migrate"]).len() < 10_000, "migrating a current schema is no work");
    fail(mirror, &["evnts", "list"], 2);
}

#[test]
fn the_command_line_works_beside_a_running_server() {
    Mirror::on_each("the_command_line", configured, |mirror| {
        events_are_listed_and_shown(mirror);
        a_replayed_event_repairs_its_row(mirror);
        a_test_event_is_sent_and_found(mirror);
        quarantined_deliveries_are_listed_and_decided(mirror);
        a_rebuild_repairs_every_column(mirror);
        the_rest_tells_what_it_should(mirror);
    });
}
