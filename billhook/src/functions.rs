//! Durable functions inside the server: what starts them, and the engine that executes them.

use std::fmt;
use std::sync::Arc;

use billhook_core::Clock;
use billhook_flow::engine::{self, Engine, EngineOptions, Matcher, Source, Waker};
use billhook_flow::{Event, Functions, stripe_names};
use billhook_mirror::route::{AppliedEvent, Router};
use billhook_store::{Publication, Store, WaitMatcher};
use billhook_stripe::envelope::Envelope;
use jiff::Timestamp;
use serde_json::{Map, Value};

use crate::failure::Refused;
use crate::settings::origin::Refusal;
use crate::stripe_api;

/// Functions of which only the application knows the type.
pub trait Hosting: Send + Sync {
    /// Refuses functions that would never work.
    fn check(&self) -> Result<(), Refused>;

    /// Starts executing.
    fn start(&self, store: &Store, clock: &Arc<dyn Clock>) -> Engine;

    /// What starts their runs; `waker` is told of new ones.
    fn router(&self, clock: &Arc<dyn Clock>, waker: Waker) -> Arc<dyn Router>;
}

/// An application's functions.
pub struct Hosted<App> {
    functions: Functions<App>,
    app: Arc<App>,
}

impl<App> Hosted<App> {
    /// These functions with what they share.
    pub fn new(functions: Functions<App>, app: App) -> Self {
        Self { functions, app: Arc::new(app) }
    }
}

impl<App: Send + Sync + 'static> Hosting for Hosted<App> {
    fn check(&self) -> Result<(), Refused> {
        let refusal = |defect: billhook_flow::Defect| {
            Refusal::of_combination("functions", defect.to_string(), "correct it where the function is declared")
        };
        self.functions.check().map_err(|defects| Refused(defects.into_iter().map(refusal).collect()))
    }

    fn start(&self, store: &Store, clock: &Arc<dyn Clock>) -> Engine {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let options =
            EngineOptions { threads, read_delivery: Some(read_delivery), ..EngineOptions::new(stripe_api::holder()) };
        Engine::start(options, self.functions.clone(), Arc::clone(&self.app), store.clone(), Arc::clone(clock))
    }

    fn router(&self, clock: &Arc<dyn Clock>, waker: Waker) -> Arc<dyn Router> {
        Arc::new(FunctionRouter { functions: self.functions.clone(), clock: Arc::clone(clock), waker })
    }
}

/// Starts the functions that an event of Stripe's is meant for.
struct FunctionRouter<App> {
    functions: Functions<App>,
    clock: Arc<dyn Clock>,
    waker: Waker,
}

impl<App> fmt::Debug for FunctionRouter<App> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "FunctionRouter({:?})", self.functions.ids())
    }
}

impl<App: Send + Sync + 'static> Router for FunctionRouter<App> {
    fn name(&self, event_type: &str) -> String {
        name(event_type)
    }

    fn route(&self, event: &AppliedEvent<'_>) -> Option<Publication> {
        let names = stripe_names(event.event_type);
        let is_named = self.functions.started_by(&names).next().is_some()
            || self.functions.is_called_off_by(&self.name(event.event_type));
        if !is_named {
            return None;
        }
        let now = self.clock.now();
        Some(engine::publication(&self.functions, &shown(event)?, Source::Stripe, &names, now))
    }

    fn shown(&self, event: &AppliedEvent<'_>) -> Publication {
        let unread = || Event::new(event.id, name(event.event_type), Value::Null, event.created);
        let event = shown(event).unwrap_or_else(unread);
        engine::publication(&Functions::<()>::new(), &event, Source::Stripe, &[], self.clock.now())
    }

    fn matcher(&self) -> &dyn WaitMatcher {
        &Matcher
    }

    fn started(&self) {
        self.waker.wake();
    }
}

/// The name of events of this type.
fn name(event_type: &str) -> String {
    format!("stripe/{event_type}")
}

/// An event as functions see it; nothing when the delivery cannot be read.
fn shown(event: &AppliedEvent<'_>) -> Option<Event> {
    let delivery = serde_json::from_slice::<Value>(event.raw).ok()?;
    Some(Event::new(event.id, name(event.event_type), data(event, delivery), event.created))
}

/// Reads an event of Stripe's out of its delivery; thin ones show nothing.
fn read_delivery(raw: &[u8]) -> Option<Event> {
    let envelope = Envelope::parse(raw).ok().filter(|envelope| !envelope.is_thin())?;
    let created = Timestamp::from_second(envelope.created?).ok()?;
    shown(&AppliedEvent { id: envelope.id.as_deref()?, event_type: envelope.event_type.as_deref()?, created, raw })
}

/// Kinds of objects that an event carries under their own names as well.
const NAMED: [&str; 4] = ["customer", "subscription", "invoice", "charge"];

/// What functions see of an event of Stripe's: the object's own fields, the object as a whole under `object` and, for the kinds that
/// functions ask for most, under its own name; `previous_attributes`; and which event it was.
fn data(event: &AppliedEvent<'_>, mut delivery: Value) -> Value {
    let object = delivery.pointer_mut("/data/object").map(Value::take).unwrap_or_default();
    let previous = delivery.pointer_mut("/data/previous_attributes").map(Value::take).unwrap_or_default();
    let mut data: Map<String, Value> = object.as_object().cloned().unwrap_or_default();
    if let Some(kind) = object["object"].as_str().filter(|kind| NAMED.contains(kind)) {
        data.insert(kind.to_owned(), object.clone());
    }
    data.insert("previous_attributes".to_owned(), previous);
    data.insert("eventId".to_owned(), event.id.into());
    data.insert("eventType".to_owned(), event.event_type.into());
    data.insert("object".to_owned(), object);
    Value::Object(data)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn functions_see_the_object_in_both_forms() {
        let raw = json!({ "id": "evt_1", "type": "invoice.payment_failed", "data": {
            "object": { "id": "in_1", "object": "invoice", "amount_due": 5, "customer": "cus_1" },
            "previous_attributes": { "amount_due": null },
        }});
        let bytes = raw.to_string();
        let created = Timestamp::UNIX_EPOCH;
        let event = AppliedEvent { id: "evt_1", event_type: "invoice.payment_failed", created, raw: bytes.as_bytes() };
        let data = data(&event, raw);
        assert_eq!((&data["amount_due"], &data["customer"]), (&json!(5), &json!("cus_1")));
        assert_eq!((&data["object"]["id"], &data["invoice"]["id"]), (&json!("in_1"), &json!("in_1")));
        assert_eq!((&data["eventId"], &data["eventType"]), (&json!("evt_1"), &json!("invoice.payment_failed")));
        // A key that is there with null is a change; nothing at all is none.
        assert_eq!(data["previous_attributes"], json!({ "amount_due": null }));
    }
}
