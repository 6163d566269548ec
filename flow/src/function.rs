//! Functions and what starts them.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use billhook_core::retry::{Backoff, RETRIES_DEFAULT, RETRIES_MAX};
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::ctx::Ctx;
use crate::error::{Error, Retry};
use crate::event::Event;
use crate::exchange::{Journal, Outcome, ParkReason, Request};
use crate::execution::{Execution, Fakes};

type Called = Pin<Box<dyn Future<Output = Result<Value, Error>>>>;
type Handler<App> = dyn Fn(Event, Ctx<App>) -> Result<Called, serde_json::Error> + Send + Sync;

/// A durable function: its id, its code, and what starts it. Cheap to clone.
pub struct Function<App> {
    id: String,
    handler: Arc<Handler<App>>,
    triggers: Vec<String>,
    retries: u32,
    backoff: Backoff,
}

impl<App> Clone for Function<App> {
    fn clone(&self) -> Self {
        let handler = Arc::clone(&self.handler);
        let (id, triggers, backoff) = (self.id.clone(), self.triggers.clone(), self.backoff.clone());
        Self { id, handler, triggers, retries: self.retries, backoff }
    }
}

/// A function from an async function of an event and a context. `id` names it for ever: runs that sleep find their code by it.
///
/// The event's data takes the form that the handler asks for; a run whose event does not have it is parked and shown.
pub fn function<App, H, F, D, T, E>(id: impl Into<String>, handler: H) -> Function<App>
where
    App: Send + Sync + 'static,
    H: Fn(Event<D>, Ctx<App>) -> F + Send + Sync + 'static,
    F: Future<Output = Result<T, E>> + 'static,
    D: DeserializeOwned,
    T: Serialize,
    E: Into<Error>,
{
    let handler = move |event: Event, ctx: Ctx<App>| -> Result<Called, serde_json::Error> {
        let called = handler(event.typed()?, ctx);
        Ok(Box::pin(async move {
            let value = called.await.map_err(Into::into)?;
            serde_json::to_value(value).map_err(|error| Error::terminal(format!("the result is no JSON: {error}")))
        }))
    };
    let (id, triggers, backoff) = (id.into(), Vec::new(), Backoff::Table);
    Function { id, handler: Arc::new(handler), triggers, retries: RETRIES_DEFAULT, backoff }
}

impl<App> Function<App> {
    /// Starts for every event of this name. `stripe/invoice.paid`, `stripe/customer.*`, a name of [`crate::Aliases`], or one of the
    /// user's own. A function starts at most once for an event, however many of its triggers match.
    #[must_use]
    pub fn on(mut self, event: impl Into<String>) -> Self {
        self.triggers.push(event.into());
        self
    }

    /// Further executions after the function itself failed outside of its steps: 4 unless set, 20 at most.
    #[must_use]
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = retries.min(RETRIES_MAX);
        self
    }

    /// The pauses between those executions.
    #[must_use]
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The names that start it.
    pub fn triggers(&self) -> &[String] {
        &self.triggers
    }

    /// Executes a run from its beginning, with what is recorded of it, until it ends or waits. The future is not `Send`: an engine
    /// polls it where it was made.
    pub async fn execute(&self, app: Arc<App>, request: Request, journal: Arc<dyn Journal>) -> Outcome {
        self.execute_with(app, request, journal, Arc::default()).await
    }

    pub(crate) async fn execute_with(
        &self,
        app: Arc<App>,
        request: Request,
        journal: Arc<dyn Journal>,
        fakes: Arc<Fakes>,
    ) -> Outcome {
        let (event, failures, chance) = (request.event.clone(), request.failures, request.chance);
        let clock = Arc::clone(&request.clock);
        let execution = Arc::new(Execution::new(request, journal, fakes));
        let called = match (self.handler)(event, Ctx::new(app, Arc::clone(&execution))) {
            Ok(called) => called,
            Err(error) => {
                let message = format!("the event's data is not what {} takes: {error}", self.id);
                return Outcome::Parked(ParkReason::Undecodable, message);
            }
        };
        let error = match execution.drive(called).await {
            Ok(Ok(value)) => return Outcome::Finished(value),
            Ok(Err(error)) => error,
            Err(outcome) => return outcome,
        };
        self.failed(&error, failures, clock.now(), chance)
    }

    /// What follows when the function itself failed, after so many failures before.
    pub(crate) fn failed(&self, error: &Error, failures: u32, now: Timestamp, chance: u64) -> Outcome {
        let pause = match error.retry {
            Retry::Usual if failures < self.retries => self.backoff.pause(failures, chance),
            Retry::After(pause) if failures < self.retries => pause,
            Retry::Usual | Retry::After(_) | Retry::Never => return Outcome::Failed(error.to_record()),
        };
        let at = now.saturating_add(pause).unwrap_or(Timestamp::MAX);
        Outcome::Retry { at, error: error.to_record() }
    }
}
