//! Durable functions inside the server: what starts them, and the engine that executes them.

mod clock;
mod data;
mod enrich;
mod held_clock;
mod hosted;
mod mirror;
mod objects;
mod related;
mod shape;

pub use clock::FunctionClock;
pub use enrich::MirrorEnricher;
pub use held_clock::HeldClock;
pub use hosted::Hosted;
pub use mirror::MirrorReader;

use std::fmt;
use std::sync::Arc;

use billhook_core::Clock;
use billhook_flow::engine::{self, Matcher, Source, Waker};
use billhook_flow::{APPLIED, Aliases, Event, Functions, of_type};
use billhook_mirror::route::{AppliedEvent, Router};
use billhook_store::{Publication, WaitMatcher};
use billhook_stripe::envelope::Envelope;
use jiff::Timestamp;
use serde_json::Value;

/// Starts the functions that an event of Stripe's is meant for.
struct FunctionRouter {
    functions: Functions<()>,
    aliases: Aliases,
    clock: Arc<dyn Clock>,
    waker: Waker,
}

impl fmt::Debug for FunctionRouter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "FunctionRouter({:?})", self.functions.ids())
    }
}

impl Router for FunctionRouter {
    fn names(&self, event_type: &str) -> Vec<String> {
        let mut names = self.aliases.names_of(event_type);
        names.push(APPLIED.to_owned());
        names
    }

    fn route(&self, event: &AppliedEvent<'_>) -> Option<Publication> {
        let names = self.aliases.names_of(event.event_type);
        let is_named = self.functions.started_by(&names).next().is_some() || self.functions.is_called_off_by(&names);
        if !is_named {
            return None;
        }
        let now = self.clock.now();
        Some(applied(engine::publication(&self.functions, &shown(event)?, Source::Stripe, &names, now)))
    }

    fn shown(&self, event: &AppliedEvent<'_>) -> Publication {
        let names = self.aliases.names_of(event.event_type);
        let unread = || Event::new(event.id, of_type(event.event_type), Value::Null, event.created);
        let event = shown(event).unwrap_or_else(unread);
        applied(engine::publication(&Functions::<()>::new(), &event, Source::Stripe, &names, self.clock.now()))
    }

    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn matcher(&self) -> &dyn WaitMatcher {
        &Matcher
    }

    fn started(&self) {
        self.waker.wake();
    }
}

/// The same, also for whoever waits until the mirror has applied it.
fn applied(mut publication: Publication) -> Publication {
    publication.names.push(APPLIED.to_owned());
    publication
}

/// An event as functions see it; nothing when the delivery cannot be read.
fn shown(event: &AppliedEvent<'_>) -> Option<Event> {
    let delivery = serde_json::from_slice::<Value>(event.raw).ok()?;
    Some(Event::new(event.id, of_type(event.event_type), data::data(event, delivery), event.created))
}

/// Reads an event of Stripe's out of its delivery; thin ones show nothing.
fn read_delivery(raw: &[u8]) -> Option<Event> {
    let envelope = Envelope::parse(raw).ok().filter(|envelope| !envelope.is_thin())?;
    let created = Timestamp::from_second(envelope.created?).ok()?;
    shown(&AppliedEvent { id: envelope.id.as_deref()?, event_type: envelope.event_type.as_deref()?, created, raw })
}
