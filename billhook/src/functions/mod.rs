//! Durable functions inside the server: what starts them, and the engine that executes them.

mod data;
mod enrich;
mod objects;
mod related;
mod shape;

pub use enrich::MirrorEnricher;

use std::fmt;
use std::sync::Arc;

use billhook_core::Clock;
use billhook_flow::engine::{self, Engine, EngineOptions, Enrich, Matcher, Source, Waker};
use billhook_flow::{Aliases, Event, Functions, of_type};
use billhook_mirror::route::{AppliedEvent, Router};
use billhook_store::{Publication, Store, WaitMatcher};
use billhook_stripe::envelope::Envelope;
use jiff::Timestamp;
use serde_json::Value;

use crate::failure::Refused;
use crate::settings::origin::Refusal;
use crate::stripe_api;

/// Functions of which only the application knows the type.
pub trait Hosting: Send + Sync {
    /// Refuses functions that would never work, when Stripe's events are called so.
    fn check(&self, aliases: &Aliases) -> Result<(), Refused>;

    /// Starts executing. `enrich` completes the data of Stripe's events.
    fn start(&self, aliases: &Aliases, enrich: Arc<dyn Enrich>, store: &Store, clock: &Arc<dyn Clock>) -> Engine;

    /// What starts their runs, when Stripe's events are called so; `waker` is told of new ones.
    fn router(&self, aliases: &Aliases, clock: &Arc<dyn Clock>, waker: Waker) -> Arc<dyn Router>;
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
    fn check(&self, aliases: &Aliases) -> Result<(), Refused> {
        let refusal = |defect: billhook_flow::Defect| {
            Refusal::of_combination("functions", defect.to_string(), "correct it where the function is declared")
        };
        self.functions.check_with(aliases).map_err(|defects| Refused(defects.into_iter().map(refusal).collect()))
    }

    fn start(&self, aliases: &Aliases, enrich: Arc<dyn Enrich>, store: &Store, clock: &Arc<dyn Clock>) -> Engine {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let (read_delivery, aliases, enrich) =
            (Some(read_delivery as engine::ReadDelivery), aliases.clone(), Some(enrich));
        let options =
            EngineOptions { threads, read_delivery, aliases, enrich, ..EngineOptions::new(stripe_api::holder()) };
        Engine::start(options, self.functions.clone(), Arc::clone(&self.app), store.clone(), Arc::clone(clock))
    }

    fn router(&self, aliases: &Aliases, clock: &Arc<dyn Clock>, waker: Waker) -> Arc<dyn Router> {
        let (functions, aliases) = (self.functions.clone(), aliases.clone());
        Arc::new(FunctionRouter { functions, aliases, clock: Arc::clone(clock), waker })
    }
}

/// Starts the functions that an event of Stripe's is meant for.
struct FunctionRouter<App> {
    functions: Functions<App>,
    aliases: Aliases,
    clock: Arc<dyn Clock>,
    waker: Waker,
}

impl<App> fmt::Debug for FunctionRouter<App> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "FunctionRouter({:?})", self.functions.ids())
    }
}

impl<App: Send + Sync + 'static> Router for FunctionRouter<App> {
    fn names(&self, event_type: &str) -> Vec<String> {
        self.aliases.names_of(event_type)
    }

    fn route(&self, event: &AppliedEvent<'_>) -> Option<Publication> {
        let names = self.aliases.names_of(event.event_type);
        let is_named = self.functions.started_by(&names).next().is_some() || self.functions.is_called_off_by(&names);
        if !is_named {
            return None;
        }
        let now = self.clock.now();
        Some(engine::publication(&self.functions, &shown(event)?, Source::Stripe, &names, now))
    }

    fn shown(&self, event: &AppliedEvent<'_>) -> Publication {
        let names = self.aliases.names_of(event.event_type);
        let unread = || Event::new(event.id, of_type(event.event_type), Value::Null, event.created);
        let event = shown(event).unwrap_or_else(unread);
        engine::publication(&Functions::<()>::new(), &event, Source::Stripe, &names, self.clock.now())
    }

    fn matcher(&self) -> &dyn WaitMatcher {
        &Matcher
    }

    fn started(&self) {
        self.waker.wake();
    }
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
