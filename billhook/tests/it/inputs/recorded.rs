//! Recorded deliveries become the right rows, every column compared with the object.

use std::path::Path;

use billhook_testkit::events::fresh_id;
use serde_json::Value;

use super::compare::{Carried, assert_row, is_true};
use super::fixtures::{folder, texts};
use super::mirror::Mirror;

/// Files whose object is deleted by an event of the second file, which therefore keeps the object's id.
const STORIES: [(&str, &str); 2] = [("customer_updated", "customer_deleted"), ("product_created", "product_deleted")];
/// The only file of live mode: a database takes one mode.
const LIVE: &str = "checkout_session_completed";
/// An object without an id, keyed by its customer.
const SUMMARY: &str = "active_entitlement_summary_updated";

/// Tables as the contract names them, by kind.
const TABLES: &[(&str, &str)] = &[
    ("card", "cards"),
    ("charge", "charges"),
    ("checkout.session", "checkout_sessions"),
    ("credit_note", "credit_notes"),
    ("customer", "customers"),
    ("dispute", "disputes"),
    ("invoice", "invoices"),
    ("invoice_payment", "invoice_payments"),
    ("payment_intent", "payment_intents"),
    ("payment_method", "payment_methods"),
    ("plan", "plans"),
    ("price", "prices"),
    ("product", "products"),
    ("radar.early_fraud_warning", "early_fraud_warnings"),
    ("refund", "refunds"),
    ("review", "reviews"),
    ("setup_intent", "setup_intents"),
    ("subscription", "subscriptions"),
    ("subscription_schedule", "subscription_schedules"),
    ("tax_id", "tax_ids"),
];

/// A complete event body under a name.
struct Recorded {
    name: String,
    body: String,
    event: Value,
}

impl Recorded {
    fn new(name: &str, body: String) -> Self {
        let event = serde_json::from_str(&body).unwrap();
        Self { name: name.to_owned(), body, event }
    }

    fn text(&self, pointer: &str) -> &str {
        self.event.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
    }

    fn table(&self) -> &'static str {
        let kind = self.text("/data/object/object");
        TABLES
            .iter()
            .find(|(known, _)| *known == kind)
            .map_or_else(|| panic!("{}: kind {kind}", self.name), |(_, table)| table)
    }
}

/// The files of `webhooks`, each with an event id of its own, since some share one: a repeated id would be a duplicate. Objects
/// that several files share get ids of their own too, except in a story.
fn webhooks(fixtures: &Path) -> Vec<Recorded> {
    let told_later = |name: &str| STORIES.iter().position(|(_, last)| *last == name);
    let mut files = texts(&fixtures.join("webhooks"));
    assert_eq!(files.len(), 30, "the folder of fixtures is not complete");
    files.sort_by_key(|(name, _)| told_later(name));
    let in_story = |name: &str| STORIES.iter().any(|(first, last)| *first == name || *last == name);
    let renamed = |(name, text): (String, String)| {
        let event: Value = serde_json::from_str(&text).unwrap();
        let mut text = text.replace(event["id"].as_str().unwrap(), &fresh_id("evt_1"));
        if let Some(id) = event["data"]["object"]["id"].as_str().filter(|_| !in_story(&name)) {
            text = text.replace(id, &fresh_id(&format!("{id}_")));
        }
        Recorded::new(&name, text)
    };
    files.into_iter().map(renamed).collect()
}

/// The files of `localstripe`, bodies unchanged, in order of arrival.
fn localstripe(fixtures: &Path) -> Vec<Recorded> {
    let files = texts(&fixtures.join("localstripe"));
    assert_eq!(files.len(), 33, "the folder of fixtures is not complete");
    let body = |text: &str| -> String {
        let recording: Value = serde_json::from_str(text).unwrap();
        recording["body"].as_str().unwrap().to_owned()
    };
    files.iter().map(|(name, text)| Recorded::new(name, body(text))).collect()
}

/// Delivers one recording and looks at what it became.
fn check(mirror: &Mirror, recorded: &Recorded) {
    let name = recorded.name.as_str();
    mirror.accept(name, recorded.body.as_bytes());
    mirror.settle();
    mirror.assert_stored(name, recorded.body.as_bytes());
    if name == SUMMARY {
        return check_summary(mirror, recorded);
    }
    let (table, id) = (recorded.table(), recorded.text("/data/object/id"));
    let row = mirror.row(table, id);
    match recorded.text("/type") {
        "product.deleted" => assert_eq!(row, None, "{name}: a deleted product must leave its table"),
        "customer.deleted" if recorded.event["data"]["object"]["deleted"] == true => {
            let row = row.unwrap_or_else(|| panic!("{name}: a deleted customer must stay"));
            assert!(is_true(&row["deleted"]), "{name}: {row}");
            assert!(!row["email"].is_null(), "{name}: a stub must not clear what is known: {row}");
        }
        event_type => {
            let row = row.unwrap_or_else(|| panic!("{name}: no row {id} in {table}"));
            let deletes = matches!(event_type, "customer.deleted" | "invoice.deleted");
            assert_row(name, mirror, table, &row, Carried { event: &recorded.event, deletes });
            check_old_shape(recorded, &row);
        }
    }
    println!("{name} -> {table} -> {id} -> ok");
}

/// A summary names a customer's active entitlements.
fn check_summary(mirror: &Mirror, recorded: &Recorded) {
    let (name, customer) = (recorded.name.as_str(), recorded.text("/data/object/customer"));
    let summary = mirror.query(&format!(
        "SELECT * FROM {} WHERE customer = '{customer}'",
        mirror.table("entitlements_active_entitlement_summaries")
    ));
    assert_eq!(summary.len(), 1, "{name}: one row a customer");
    let rows = mirror.rows("active_entitlements");
    let elements = recorded.event["data"]["object"]["entitlements"]["data"].as_array().unwrap();
    assert!(!elements.is_empty());
    for element in elements {
        let row = &rows[element["id"].as_str().unwrap()];
        assert_eq!(row["customer"], customer, "{name}");
        for column in ["feature", "lookup_key"] {
            assert_eq!(row[column], element[column], "{name}: {column}");
        }
    }
    println!("{name} -> active_entitlements -> {customer} -> ok");
}

/// The values that queries of the existing engines read and that current objects no longer carry: none may be lost.
fn check_old_shape(recorded: &Recorded, row: &Value) {
    let columns: &[&str] = match recorded.name.as_str() {
        "invoice_paid" => &["paid", "subscription"],
        "subscription_updated" | "subscription_created" => &["current_period_start", "current_period_end", "plan"],
        _ => &[],
    };
    for column in columns {
        assert!(!row[*column].is_null(), "{}: {column} is lost", recorded.name);
    }
}

#[test]
fn every_recorded_delivery_of_test_mode_becomes_its_row() {
    let Some(fixtures) = folder("every_recorded_delivery_of_test_mode_becomes_its_row") else { return };
    Mirror::on_each(
        "recorded deliveries of test mode",
        |settings| settings,
        |mirror| {
            let webhooks = webhooks(&fixtures);
            for recorded in webhooks.iter().filter(|recorded| recorded.name != LIVE).chain(&localstripe(&fixtures)) {
                check(mirror, recorded);
            }
            assert_eq!(mirror.quarantine(), [], "on {}", mirror.dialect());
        },
    );
}

#[test]
fn the_recorded_delivery_of_live_mode_becomes_its_row() {
    let Some(fixtures) = folder("the_recorded_delivery_of_live_mode_becomes_its_row") else { return };
    Mirror::on_each(
        "recorded deliveries of live mode",
        |settings| settings.set("BILLHOOK_MODE", "live"),
        |mirror| {
            let mut files = webhooks(&fixtures);
            files.retain(|recorded| recorded.name == LIVE);
            check(mirror, &files[0]);
            assert_eq!(mirror.quarantine(), [], "on {}", mirror.dialect());
        },
    );
}
