//! Durable functions inside the server: what starts them, and the engine that executes them.

mod data;
#[cfg_attr(not(test), expect(dead_code, reason = "the engine does not ask for it yet"))]
mod enrich;
mod objects;
mod related;
mod shape;

use std::fmt;
use std::sync::Arc;

use billhook_core::Clock;
use billhook_flow::engine::{Engine, EngineOptions, Route, Waker};
use billhook_flow::{Aliases, Event, Functions};
use billhook_mirror::route::{AppliedEvent, Router};
use billhook_store::{NewFlowRun, Store};
use serde_json::Value;

use crate::failure::Refused;
use crate::settings::origin::Refusal;
use crate::stripe_api;

/// Functions of which only the application knows the type.
pub trait Hosting: Send + Sync {
    /// Refuses functions that would never work, when Stripe's events are called so.
    fn check(&self, aliases: &Aliases) -> Result<(), Refused>;

    /// Starts executing.
    fn start(&self, store: &Store, clock: &Arc<dyn Clock>) -> Engine;

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

    fn start(&self, store: &Store, clock: &Arc<dyn Clock>) -> Engine {
        let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let options = EngineOptions { threads, ..EngineOptions::new(stripe_api::holder()) };
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
    fn route(&self, event: &AppliedEvent<'_>) -> Vec<NewFlowRun> {
        let names = self.aliases.names_of(event.event_type);
        if self.functions.started_by(&names).next().is_none() {
            return Vec::new();
        }
        let Ok(delivery) = serde_json::from_slice::<Value>(event.raw) else { return Vec::new() };
        let data = data::data(event, delivery);
        let event = Event::new(event.id, format!("stripe/{}", event.event_type), data, event.created);
        Route::of(&self.functions, &event, &names, self.clock.now()).into_runs()
    }

    fn started(&self, _runs: u64) {
        self.waker.wake();
    }
}
