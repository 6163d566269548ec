//! Authentic deliveries whose content nobody should send: each is answered 200, kept byte for byte, and ends as a row, as a
//! sanitised row, or in the quarantine with the right reason. The whole run is logged at the lowest level and its log searched.

mod bodies;
mod envelopes;
mod extremes;
mod numbers;
mod payloads;
mod thin;

use std::collections::BTreeMap;

use billhook_testkit::events::fresh_id;
use billhook_testkit::sign::{TEST_SECRET, now, sha256_hex};
use serde_json::{Value, json};

use super::fixtures::event;
use super::mirror::{Mirror, Quarantined};

/// Stands for what must never reach a log: names, addresses, secrets.
const CANARY: &str = "Canary4711";
/// Longest event id that is kept as it is, in bytes.
const ID_BYTES_MAX: usize = 255;

/// One hostile delivery.
struct Case {
    name: String,
    body: Vec<u8>,
    /// The event's id; empty when the body has no usable one, so that it is stored under its digest.
    event_id: String,
    expected: Expected,
}

/// What has to become of a delivery.
enum Expected {
    /// A row, with some of its columns.
    Row { table: &'static str, id: String, columns: Vec<(&'static str, Value)>, shown: Option<&'static str> },
    /// No row and no entry in the quarantine.
    NoRow,
    /// Set aside for this reason.
    Refused(&'static str),
}

impl Case {
    /// Any bytes without a usable event id, to be refused.
    fn nameless(name: impl Into<String>, body: impl Into<Vec<u8>>, reason: &'static str) -> Self {
        let (name, body) = (name.into(), body.into());
        Self { name, body, event_id: String::new(), expected: Expected::Refused(reason) }
    }

    /// An event that is changed before it is sent.
    fn event(name: impl Into<String>, expected: Expected, event: &Value) -> Self {
        let event_id = event["id"].as_str().unwrap_or_default().to_owned();
        Self { name: name.into(), body: event.to_string().into_bytes(), event_id, expected }
    }
}

/// A customer with a fresh id, its event, and the row to expect.
struct Draft {
    id: String,
    event: Value,
}

impl Draft {
    fn new() -> Self {
        let id = fresh_id("cus_");
        let mut object = json!({ "id": id, "object": "customer", "livemode": false, "metadata": {} });
        object["email"] = format!("{CANARY}@example.com").into();
        Self { event: event(&fresh_id("evt_1"), "customer.updated", now(), object), id }
    }

    /// The event's text with `"metadata":{}` replaced, for JSON that no builder makes.
    fn with_metadata(self, name: impl Into<String>, metadata: &str, columns: Vec<(&'static str, Value)>) -> Case {
        let body = self.event.to_string().replace("\"metadata\":{}", &format!("\"metadata\":{metadata}"));
        self.with_body(name, body, columns)
    }

    fn with_body(self, name: impl Into<String>, body: impl Into<Vec<u8>>, columns: Vec<(&'static str, Value)>) -> Case {
        let event_id = self.event["id"].as_str().unwrap_or_default().to_owned();
        Case { name: name.into(), body: body.into(), event_id, expected: row("customers", self.id, columns) }
    }

    /// The event with one place changed, to be refused.
    fn refused(mut self, name: impl Into<String>, reason: &'static str, change: impl FnOnce(&mut Value)) -> Case {
        change(&mut self.event);
        Case::event(name, Expected::Refused(reason), &self.event)
    }

    /// The event with one place changed, to be mirrored.
    fn mirrored(
        mut self,
        name: impl Into<String>,
        columns: Vec<(&'static str, Value)>,
        change: impl FnOnce(&mut Value),
    ) -> Case {
        change(&mut self.event);
        Case::event(name, row("customers", self.id, columns), &self.event)
    }
}

fn row(table: &'static str, id: impl Into<String>, columns: Vec<(&'static str, Value)>) -> Expected {
    Expected::Row { table, id: id.into(), columns, shown: None }
}

fn shown(reason: &'static str, table: &'static str, id: impl Into<String>) -> Expected {
    Expected::Row { table, id: id.into(), columns: Vec::new(), shown: Some(reason) }
}

fn cases() -> Vec<Case> {
    let mut cases = bodies::cases();
    cases.extend(numbers::cases());
    cases.extend(envelopes::cases());
    cases.extend(payloads::cases());
    cases.extend(extremes::cases());
    cases
}

/// What is wrong with what became of a delivery.
fn complaint(mirror: &Mirror, case: &Case, quarantine: &BTreeMap<String, Quarantined>) -> Option<String> {
    let stored = mirror.assert_stored(&case.name, &case.body);
    let event_id =
        if case.event_id.is_empty() { format!("sha256:{}", sha256_hex(&case.body)) } else { case.event_id.clone() };
    if stored != event_id {
        return Some(format!("stored as {stored}"));
    }
    let entry = quarantine.get(&stored).map(|entry| (entry.reason.as_str(), entry.applied));
    let wanted = match &case.expected {
        Expected::Refused(reason) => Some((*reason, false)),
        Expected::NoRow => None,
        Expected::Row { shown, .. } => shown.map(|reason| (reason, true)),
    };
    if entry != wanted {
        return Some(format!("quarantined as {entry:?}, expected {wanted:?}"));
    }
    let Expected::Row { table, id, columns, .. } = &case.expected else { return None };
    // Only these columns: what was nested as deeply as possible could not be read inside of a row.
    let names: Vec<&str> = ["id"].into_iter().chain(columns.iter().map(|(column, _)| *column)).collect();
    let Some(row) = mirror.row_of(table, id, &names) else { return Some(format!("no row {id:?} in {table}")) };
    let wrong = columns.iter().find(|(column, wanted)| row[*column] != *wanted)?;
    Some(format!("{} is {}, expected {}", wrong.0, row[wrong.0], wrong.1))
}

#[test]
fn hostile_deliveries_are_kept_and_explained_and_leave_no_trace_in_the_log() {
    let api_key = format!("{CANARY}-api-key-0123456789abcdef");
    let stripe_key = format!("sk_test_{CANARY}0123456789abcdef");
    let settings = |settings: billhook_testkit::ServerSettings| {
        settings
            .set("BILLHOOK_LOG_LEVEL", "trace")
            .set("API_KEY", &api_key)
            .set("STRIPE_SECRET_KEY", &stripe_key)
            .set("STRIPE_WEBHOOK_SECRET", &format!("{TEST_SECRET},whsec_{CANARY}0123456789abcdef"))
    };
    Mirror::on_each("hostile_deliveries", settings, |mirror| {
        // The first delivery decides the mode of the database; a hostile one must not.
        mirror.accept_event(&Draft::new().event);
        mirror.settle();
        let cases = cases();
        for case in &cases {
            mirror.accept(&case.name, &case.body);
        }
        mirror.settle();
        let quarantine = mirror.quarantine().into_iter().map(|entry| (entry.event_id.clone(), entry)).collect();
        let complaints: Vec<String> = cases
            .iter()
            .filter_map(|case| Some(format!("{}: {}", case.name, complaint(mirror, case, &quarantine)?)))
            .collect();
        assert!(complaints.is_empty(), "on {}:\n{}", mirror.dialect(), complaints.join("\n"));
        payloads::check_nothing_was_executed(mirror);
        thin::check(mirror);
        let mut client = mirror.client();
        assert_eq!(client.get("/healthz").unwrap().status, 200, "the program must be well after all this");
        assert_silent(mirror, &[CANARY, TEST_SECRET, &api_key, &stripe_key]);
        println!("{} hostile deliveries on {}", cases.len(), mirror.dialect());
    });
}

/// The log says something, and none of this.
fn assert_silent(mirror: &Mirror, forbidden: &[&str]) {
    let log = mirror.log();
    assert!(log.contains("answered"), "the log is empty, so that its silence proves nothing");
    for text in forbidden {
        let line = log.lines().find(|line| line.contains(text));
        assert_eq!(line, None, "the log on {} holds {text}", mirror.dialect());
    }
}
