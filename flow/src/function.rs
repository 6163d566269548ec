//! Functions and what starts them.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use billhook_core::retry::{Backoff, RETRIES_DEFAULT, RETRIES_MAX};
use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use serde::de::{DeserializeOwned, Error as _};
use serde_json::Value;

use crate::control::Controls;
use crate::ctx::Ctx;
use crate::error::{Error, Retry};
use crate::event::Event;
use crate::exchange::{Journal, Outcome, ParkReason, Request};
use crate::execution::{Execution, Fakes};
use crate::expression::{Expression, Scope};
use crate::names;
use crate::schedule::{Missed, Schedule};

type Called = Pin<Box<dyn Future<Output = Result<Value, Error>>>>;
type Handler<App> = dyn Fn(Vec<Event>, Ctx<App>) -> Result<Called, serde_json::Error> + Send + Sync;

/// A durable function: its id, its code, and what starts it. Cheap to clone.
pub struct Function<App> {
    id: String,
    version: String,
    versions: Versions,
    handler: Arc<Handler<App>>,
    triggers: Vec<Trigger>,
    cancels: Vec<Cancel>,
    once: Option<Expression>,
    crons: Vec<Cron>,
    start_within: Option<SignedDuration>,
    finish_within: Option<SignedDuration>,
    on_failure: Option<Box<Function<App>>>,
    pub(crate) defects: Vec<String>,
    retries: u32,
    backoff: Backoff,
    pub(crate) controls: Controls,
    pub(crate) takes_batches: bool,
}

/// Which version of a function's code executes a run that began with another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Versions {
    /// The present one, with what is recorded of the run, looked up by the ids of steps. A run that was waiting in a sleep or for an event
    /// which the present code does not come to is parked when that is certain: when the function would end or wait for something else.
    #[default]
    Latest,
    /// None but the one with which it began. Of the functions of one id that are registered, the last one begins runs, and the others bring
    /// theirs to an end. A run whose version no process has had for a quarter of an hour is parked.
    Pinned,
}

/// What starts a function.
#[derive(Debug, Clone)]
struct Trigger {
    event: String,
    condition: Option<Expression>,
}

/// When a function starts by the clock.
#[derive(Debug, Clone)]
pub(crate) struct Cron {
    pub(crate) schedule: Schedule,
    pub(crate) missed: Missed,
}

/// What calls a run off.
#[derive(Debug, Clone)]
pub(crate) struct Cancel {
    /// The name of the event.
    pub(crate) event: String,
    pub(crate) condition: Option<Expression>,
}

impl<App> Clone for Function<App> {
    fn clone(&self) -> Self {
        Self {
            id: self.id.clone(),
            version: self.version.clone(),
            versions: self.versions,
            handler: Arc::clone(&self.handler),
            triggers: self.triggers.clone(),
            cancels: self.cancels.clone(),
            once: self.once.clone(),
            crons: self.crons.clone(),
            start_within: self.start_within,
            finish_within: self.finish_within,
            on_failure: self.on_failure.clone(),
            defects: self.defects.clone(),
            retries: self.retries,
            backoff: self.backoff.clone(),
            controls: self.controls.clone(),
            takes_batches: self.takes_batches,
        }
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
    let handler = move |events: Vec<Event>, ctx: Ctx<App>| -> Result<Called, serde_json::Error> {
        let first = events.into_iter().next().ok_or_else(|| serde_json::Error::custom("there is none"))?;
        Ok(called(handler(first.typed()?, ctx)))
    };
    declared(id.into(), Arc::new(handler), false)
}

/// A function that several events start together: as [`function`], with all of them in the order in which they came. How many they are
/// says [`Function::batch`].
pub fn function_batch<App, H, F, D, T, E>(id: impl Into<String>, handler: H) -> Function<App>
where
    App: Send + Sync + 'static,
    H: Fn(Vec<Event<D>>, Ctx<App>) -> F + Send + Sync + 'static,
    F: Future<Output = Result<T, E>> + 'static,
    D: DeserializeOwned,
    T: Serialize,
    E: Into<Error>,
{
    let handler = move |events: Vec<Event>, ctx: Ctx<App>| -> Result<Called, serde_json::Error> {
        let events = events.into_iter().map(Event::typed).collect::<Result<Vec<Event<D>>, serde_json::Error>>()?;
        Ok(called(handler(events, ctx)))
    };
    declared(id.into(), Arc::new(handler), true)
}

fn called<T: Serialize, E: Into<Error>>(called: impl Future<Output = Result<T, E>> + 'static) -> Called {
    Box::pin(async move {
        let value = called.await.map_err(Into::into)?;
        serde_json::to_value(value).map_err(|error| Error::terminal(format!("the result is no JSON: {error}")))
    })
}

fn declared<App>(id: String, handler: Arc<Handler<App>>, takes_batches: bool) -> Function<App> {
    Function {
        id,
        version: String::new(),
        versions: Versions::default(),
        handler,
        triggers: Vec::new(),
        cancels: Vec::new(),
        once: None,
        crons: Vec::new(),
        start_within: None,
        finish_within: None,
        on_failure: None,
        defects: Vec::new(),
        retries: RETRIES_DEFAULT,
        backoff: Backoff::Table,
        controls: Controls::default(),
        takes_batches,
    }
}

impl Trigger {
    fn is_meant(&self, event_names: &[String]) -> bool {
        event_names.iter().any(|name| names::matches(&self.event, name))
    }
}

impl<App> Function<App> {
    /// Starts for every event of this name. `stripe/invoice.paid`, `stripe/customer.*`, a name of [`crate::Aliases`], or one of the
    /// user's own. A function starts at most once for an event, however many of its triggers match.
    #[must_use]
    pub fn on(mut self, event: impl Into<String>) -> Self {
        self.triggers.push(Trigger { event: event.into(), condition: None });
        self
    }

    /// The version of its code: any text, such as a number or the date of a change. It is kept with every run that begins with it. State
    /// another one whenever steps or waits are changed; without one Billhook cannot see that they were.
    ///
    /// ```
    /// use billhook_flow::{Ctx, Event, Functions, Result, Versions, days, function};
    ///
    /// async fn before(_event: Event, ctx: Ctx<()>) -> Result<()> {
    ///     ctx.sleep("three days", days(3)).await;
    ///     Ok(())
    /// }
    ///
    /// async fn now(_event: Event, ctx: Ctx<()>) -> Result<()> {
    ///     ctx.sleep("a week", days(7)).await;
    ///     Ok(())
    /// }
    ///
    /// // Runs that sleep for three days end as they began; new ones sleep for a week.
    /// let functions = Functions::new()
    ///     .add(function("remind", before).version("1").versions(Versions::Pinned))
    ///     .add(function("remind", now).version("2").versions(Versions::Pinned).on("stripe/invoice.payment_failed"));
    /// assert!(functions.check().is_ok());
    /// ```
    #[must_use]
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.version = version.into();
        if self.version.contains('\0') {
            self.defects.push("its version holds a NUL character, which databases do not store".to_owned());
        }
        self
    }

    /// What becomes of runs that began with another version: [`Versions::Latest`] unless set.
    #[must_use]
    pub fn versions(mut self, versions: Versions) -> Self {
        self.versions = versions;
        self
    }

    /// Which events of the name given last start it: an expression over `event`, such as `event.data.amount > 0`. It sees an event of
    /// Stripe's as Stripe sent it, where references are ids.
    #[must_use]
    pub fn if_(mut self, expression: &str) -> Self {
        let condition = self.parsed("if_", expression);
        match self.triggers.last_mut() {
            Some(trigger) => trigger.condition = condition,
            None => self
                .defects
                .push("if_ stands before any .on(…); it belongs after the event that it is about".to_owned()),
        }
        self
    }

    /// Starts by the clock: five cron fields, in UTC or with a zone before them, as in `TZ=Europe/Paris 0 8 * * *`. The event has the name
    /// `billhook/cron` and `cron` and `scheduled_at` in its data. Of times that nobody was there for it starts the latest; see
    /// [`Function::missed`].
    #[must_use]
    pub fn cron(mut self, schedule: &str) -> Self {
        match Schedule::parse(schedule) {
            Ok(schedule) => self.crons.push(Cron { schedule, missed: Missed::default() }),
            Err(error) => self.defects.push(format!("cron {schedule:?} cannot be understood: {error}")),
        }
        self
    }

    /// What to do about the times of the schedule given last for which nobody was there.
    #[must_use]
    pub fn missed(mut self, missed: Missed) -> Self {
        match self.crons.last_mut() {
            Some(cron) => cron.missed = missed,
            None => self.defects.push("missed stands before any .cron(…); it belongs after it".to_owned()),
        }
        self
    }

    /// How long after its event a run may begin. One that has not begun by then expires.
    #[must_use]
    pub fn start_within(mut self, time: SignedDuration) -> Self {
        self.start_within = Some(time);
        self
    }

    /// How long after its event a run may end, its sleeps and waits included. One that has not ended by then expires.
    #[must_use]
    pub fn finish_within(mut self, time: SignedDuration) -> Self {
        self.finish_within = Some(time);
        self
    }

    /// A function that starts when a run of this one failed for good. Its event is `billhook/function.failed` with `function`, `run`,
    /// `error` and the `event` that had started the run in its data. What becomes of its own runs starts no failure handler.
    #[must_use]
    pub fn on_failure(mut self, handler: Function<App>) -> Self {
        let own = format!("event.data.function == {}", Value::from(self.id.as_str()));
        self.on_failure = Some(Box::new(handler.on(names::FAILED).if_(&own)));
        self
    }

    /// Starts at most once for each value of an expression over `event`, such as `event.data.invoice`, as long as runs are kept. Without
    /// it a function starts once for each event.
    #[must_use]
    pub fn idempotency(mut self, expression: &str) -> Self {
        self.once = self.parsed("idempotency", expression);
        self
    }

    /// Calls off runs that have not ended when an event of this name comes that is `matching`: an expression over `event`, which
    /// started the run, and `async`, which came, such as `async.data.id == event.data.id`. It also counts when it arrived up to 4 days
    /// before the event that starts the run, as deliveries may come in any order, unless it happened earlier than that one.
    #[must_use]
    pub fn cancel_on(mut self, event: &str, matching: &str) -> Self {
        let condition = self.parsed("cancel_on", matching);
        if event.ends_with('*') {
            self.defects.push(format!("cancel_on takes the name of one event, and {event} is a pattern"));
        }
        self.cancels.push(Cancel { event: event.to_owned(), condition });
        self
    }

    pub(crate) fn parsed(&mut self, what: &str, expression: &str) -> Option<Expression> {
        match Expression::parse(expression) {
            Ok(expression) => Some(expression),
            Err(error) => {
                self.defects.push(format!("{what} {expression:?} cannot be understood: {error}"));
                None
            }
        }
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

    /// The same function with what its application shares, for whoever has functions of several applications.
    #[must_use]
    pub fn bound(self, app: Arc<App>) -> Function<()>
    where
        App: Send + Sync + 'static,
    {
        let (handler, shared) = (self.handler, Arc::clone(&app));
        let bound = move |events: Vec<Event>, ctx: Ctx<()>| handler(events, ctx.with_app(Arc::clone(&shared)));
        Function {
            id: self.id,
            version: self.version,
            versions: self.versions,
            handler: Arc::new(bound),
            triggers: self.triggers,
            cancels: self.cancels,
            once: self.once,
            crons: self.crons,
            start_within: self.start_within,
            finish_within: self.finish_within,
            on_failure: self.on_failure.map(|handler| Box::new(handler.bound(app))),
            defects: self.defects,
            retries: self.retries,
            backoff: self.backoff,
            controls: self.controls,
            takes_batches: self.takes_batches,
        }
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// The version of its code; empty when none is stated.
    pub fn code_version(&self) -> &str {
        &self.version
    }

    /// Whether it executes no runs but those that began with its version.
    pub(crate) fn is_pinned(&self) -> bool {
        self.versions == Versions::Pinned
    }

    /// The names that start it.
    pub fn triggers(&self) -> impl Iterator<Item = &str> {
        self.triggers.iter().map(|trigger| trigger.event.as_str())
    }

    /// What was declared and would never work.
    pub(crate) fn defects(&self) -> impl Iterator<Item = String> {
        let controls = self.controls.defects(!self.cancels.is_empty(), self.takes_batches);
        self.defects.iter().cloned().chain(controls)
    }

    /// Whether an event with one of these names starts it, whatever its conditions say.
    pub(crate) fn is_started_by(&self, event_names: &[String]) -> bool {
        self.triggers.iter().any(|trigger| trigger.is_meant(event_names))
    }

    /// Whether an event with one of these names starts it.
    pub(crate) fn wants(&self, event_names: &[String], scope: &Scope<'_>) -> bool {
        let wants = |trigger: &Trigger| trigger.condition.as_ref().is_none_or(|condition| condition.is_true(scope));
        self.triggers.iter().filter(|trigger| trigger.is_meant(event_names)).any(wants)
    }

    /// Its schedules.
    pub(crate) fn crons(&self) -> &[Cron] {
        &self.crons
    }

    /// When a run of it has to have begun and ended, if its event comes now.
    pub(crate) fn deadlines(&self, now: Timestamp) -> (Option<Timestamp>, Option<Timestamp>) {
        let by = |time: SignedDuration| now.saturating_add(time).unwrap_or(Timestamp::MAX);
        (self.start_within.map(by), self.finish_within.map(by))
    }

    /// The function that its failures start, which is a function like any other.
    pub(crate) fn take_failure_handler(&mut self) -> Option<Function<App>> {
        self.on_failure.take().map(|handler| *handler)
    }

    pub(crate) fn once(&self) -> Option<&Expression> {
        self.once.as_ref()
    }

    pub(crate) fn cancels(&self) -> &[Cancel] {
        &self.cancels
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
        let (failures, chance) = (request.failures, request.chance);
        let events = if request.batch.is_empty() { vec![request.event.clone()] } else { request.batch.clone() };
        let clock = Arc::clone(&request.clock);
        let execution = Arc::new(Execution::new(request, journal, fakes));
        let called = match (self.handler)(events, Ctx::new(app, Arc::clone(&execution))) {
            Ok(called) => called,
            Err(error) => {
                let message = format!("the event's data is not what {} takes: {error}", self.id);
                return Outcome::Parked(ParkReason::Undecodable, message);
            }
        };
        let driven = execution.drive(called).await;
        execution.tell_passed_over();
        let error = match driven {
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
