//! Events as Stripe would send them, distinct and reproducible.

mod template;

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Map, Value, json};

use crate::random;
use template::Template;

/// API version that the events here claim.
pub const API_VERSION: &str = "2025-09-30.clover";

/// One event, ready to be signed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// `evt_…`.
    pub id: String,
    /// Stripe's event type.
    pub event_type: String,
    /// Id of the object it is about; empty when it has none.
    pub object_id: String,
    /// The JSON document.
    pub body: Vec<u8>,
}

/// Makes realistic events without end: `customer.updated`, `charge.succeeded` and `invoice.paid` in turn, 4.3 KB on average,
/// each about an object of its own.
#[derive(Debug)]
pub struct Generator {
    run: u64,
    templates: [Template; 3],
}

impl Generator {
    /// Types in the order in which they come.
    pub const TYPES: [&'static str; 3] = ["customer.updated", "charge.succeeded", "invoice.paid"];

    /// Events of one run: another `run` gives other ids, the same `run` the same ones.
    pub fn new(run: u64) -> Self {
        let templates = [
            Template::new(include_str!("../../templates/customer_updated.json"), "cus_"),
            Template::new(include_str!("../../templates/charge_succeeded.json"), "ch_3"),
            Template::new(include_str!("../../templates/invoice_paid.json"), "in_1"),
        ];
        Self { run, templates }
    }

    /// Writes the body of event `number` into `out`, which is emptied first; `created` in Unix seconds.
    pub fn write(&self, number: u64, created: i64, out: &mut Vec<u8>) {
        out.clear();
        self.templates[(number % 3) as usize].render(self.run, number, created, out);
    }

    /// Event `number`; `created` in Unix seconds.
    pub fn event(&self, number: u64, created: i64) -> Event {
        let template = &self.templates[(number % 3) as usize];
        let mut body = Vec::new();
        template.render(self.run, number, created, &mut body);
        Event {
            id: template.id(self.run, number, "event"),
            event_type: Self::TYPES[(number % 3) as usize].to_owned(),
            object_id: template.id(self.run, number, "object"),
            body,
        }
    }
}

/// A fresh id such as `cus_8Zk…`, different at every call.
pub fn fresh_id(prefix: &str) -> String {
    static CALLS: AtomicU64 = AtomicU64::new(0);
    let mut id = prefix.as_bytes().to_vec();
    let call = CALLS.fetch_add(1, Ordering::Relaxed);
    random::push_letters(&mut id, random::number() ^ random::spread(call), 20);
    String::from_utf8_lossy(&id).into_owned()
}

/// An event with a fresh id around any object; `created` in Unix seconds.
pub fn event(event_type: &str, created: i64, object: Value, previous_attributes: Option<Value>) -> Event {
    let id = fresh_id("evt_1");
    let object_id = object.get("id").and_then(Value::as_str).unwrap_or_default().to_owned();
    let mut data = Map::new();
    data.insert("object".to_owned(), object);
    if let Some(previous) = previous_attributes {
        data.insert("previous_attributes".to_owned(), previous);
    }
    let body = json!({
        "id": id,
        "object": "event",
        "api_version": API_VERSION,
        "created": created,
        "data": data,
        "livemode": false,
        "pending_webhooks": 1,
        "request": {"id": null, "idempotency_key": null},
        "type": event_type,
    });
    Event { id, event_type: event_type.to_owned(), object_id, body: body.to_string().into_bytes() }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const CREATED: i64 = 1_760_000_000;

    #[test]
    fn generated_events_are_whole_distinct_and_of_the_agreed_size() {
        let generator = Generator::new(5);
        let mut ids = HashSet::new();
        let mut bytes = 0;
        for number in 0..300 {
            let event = generator.event(number, CREATED);
            let body: Value = serde_json::from_slice(&event.body).unwrap();
            assert_eq!(body["id"], event.id.as_str());
            assert_eq!(body["type"], event.event_type.as_str());
            assert_eq!(body["created"], CREATED);
            assert_eq!(body["data"]["object"]["id"], event.object_id.as_str());
            assert!(!String::from_utf8_lossy(&event.body).contains('~'), "a place was not filled");
            assert!(ids.insert(event.id.clone()) && ids.insert(event.object_id.clone()), "{} came twice", event.id);
            bytes += event.body.len();
        }
        let average = bytes / 300;
        assert!((4200..4400).contains(&average), "{average} bytes on average");
    }

    #[test]
    fn the_same_run_gives_the_same_bodies_and_another_run_others() {
        let (mut first, mut second, mut other) = (Vec::new(), Vec::new(), Vec::new());
        Generator::new(1).write(4, CREATED, &mut first);
        Generator::new(1).write(4, CREATED, &mut second);
        Generator::new(2).write(4, CREATED, &mut other);
        assert_eq!(first, second);
        assert_ne!(first, other);
    }

    #[test]
    fn an_event_carries_what_it_is_given() {
        let made = event("customer.updated", 7, json!({"id": "cus_1"}), Some(json!({"name": null})));
        let body: Value = serde_json::from_slice(&made.body).unwrap();
        assert_eq!(
            (body["created"].clone(), body["data"]["previous_attributes"].clone()),
            (json!(7), json!({"name": null}))
        );
        assert_eq!(made.object_id, "cus_1");
        assert_ne!(made.id, event("a", 7, json!({}), None).id);
    }
}
