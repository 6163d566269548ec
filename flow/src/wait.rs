//! Waits: a function that is waiting holds nothing, neither memory nor a connection.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use billhook_core::step::StepKey;
use jiff::{RoundMode, SignedDuration, Timestamp, TimestampRound, Unit};
use serde::de::DeserializeOwned;

use crate::error::Error;
use crate::event::Event;
use crate::exchange::{Memo, Outcome};
use crate::execution::{Execution, WAIT_LONGEST};
use crate::expression::Expression;
use crate::names;

/// So many seconds.
pub fn seconds(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

/// So many minutes.
pub fn minutes(minutes: i64) -> SignedDuration {
    seconds(minutes.saturating_mul(60))
}

/// So many hours.
pub fn hours(hours: i64) -> SignedDuration {
    minutes(hours.saturating_mul(60))
}

/// So many times 24 hours. A day of the calendar, which may have 23 or 25, needs a time zone.
pub fn days(days: i64) -> SignedDuration {
    hours(days.saturating_mul(24))
}

/// How long to sleep.
pub(crate) enum Until {
    Time(Timestamp),
    For(SignedDuration),
}

/// A sleep. It begins when it is awaited.
#[must_use = "nobody sleeps until it is awaited"]
pub struct Sleep(Phase);

enum Phase {
    Stated {
        execution: Arc<Execution>,
        key: Result<StepKey, Error>,
        until: Until,
    },
    /// Not `Send`: a sleep does not go into a step.
    Begun(Pin<Box<dyn Future<Output = ()>>>),
}

impl Sleep {
    pub(crate) fn new(execution: Arc<Execution>, id: String, until: Until) -> Self {
        let key = execution.key(id);
        Self(Phase::Stated { execution, key, until })
    }

    /// What it was called in an earlier version of the code: runs that sleep under that id go on with it. Leave it there until the runs that
    /// began before are over.
    pub fn renamed_from(self, id: impl Into<String>) -> Self {
        match self.0 {
            Phase::Stated { execution, key, until } => {
                let key = execution.renamed(key, id.into());
                Self(Phase::Stated { execution, key, until })
            }
            begun @ Phase::Begun(_) => Self(begun),
        }
    }
}

impl Future for Sleep {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let stated = std::mem::replace(&mut self.0, Phase::Begun(Box::pin(std::future::pending())));
        let mut begun = match stated {
            Phase::Stated { execution, key, until } => Box::pin(sleep(execution, key, until)),
            Phase::Begun(begun) => begun,
        };
        let polled = begun.as_mut().poll(context);
        self.0 = Phase::Begun(begun);
        polled
    }
}

/// Sleeps. An id that cannot be one fails the run, since the sleep itself has no error to return.
async fn sleep(execution: Arc<Execution>, key: Result<StepKey, Error>, until: Until) {
    let key = match key {
        Ok(key) => key,
        Err(error) => return execution.end(Outcome::Failed(error.to_record())).await,
    };
    let now = execution.now();
    match execution.memo(&key) {
        Some(Memo::Sleep { until }) if *until <= now => {}
        Some(memo @ Memo::Sleep { .. }) => execution.wait(&key, memo.clone(), false).await,
        Some(_) => execution.undecodable(&key, "the id belonged to something else than a sleep").await,
        None => {
            let latest = after(now, WAIT_LONGEST);
            let until = match until {
                Until::Time(time) => time.min(latest),
                Until::For(duration) => after(now, duration).min(latest),
            };
            let until = storable(until);
            if until > now {
                execution.wait(&key, Memo::Sleep { until }, true).await
            }
        }
    }
}

pub(crate) fn after(now: Timestamp, duration: SignedDuration) -> Timestamp {
    storable(now.saturating_add(duration).unwrap_or(Timestamp::MAX))
}

/// The first time that is not before and that databases hold, which know microseconds. Whoever is woken at the stored time would else
/// find that it is too early.
fn storable(time: Timestamp) -> Timestamp {
    let up = TimestampRound::new().smallest(Unit::Microsecond).mode(RoundMode::Ceil);
    time.round(up).unwrap_or(time)
}

/// A wait for an event. It begins when it is awaited and gives the first event that matches, or `None` when none came in time.
#[must_use = "a wait does nothing until it is awaited"]
pub struct EventWait<T> {
    execution: Arc<Execution>,
    key: Result<StepKey, Error>,
    name: String,
    matching: String,
    timeout: SignedDuration,
    data: PhantomData<fn() -> T>,
}

impl<T> EventWait<T> {
    pub(crate) fn new(execution: Arc<Execution>, id: String, name: String) -> Self {
        let key = execution.key(id);
        Self { execution, key, name, matching: String::new(), timeout: WAIT_LONGEST, data: PhantomData }
    }

    /// What it was called in an earlier version of the code. Runs that have something recorded under that id go on with it; the others record
    /// it under its new id. Leave it there until the runs that began before are over.
    pub fn renamed_from(mut self, id: impl Into<String>) -> Self {
        self.key = self.execution.renamed(self.key, id.into());
        self
    }

    /// Which events count: an expression over `event`, the one that started the run, and `async`, the one that came, such as
    /// `async.data.invoice == event.data.id`. Every event of the name counts without it.
    pub fn matching(mut self, expression: impl Into<String>) -> Self {
        self.matching = expression.into();
        self
    }

    /// How long to wait: 366 days unless set, which is also the most.
    pub fn timeout(mut self, timeout: SignedDuration) -> Self {
        self.timeout = timeout.min(WAIT_LONGEST);
        self
    }
}

impl<T: DeserializeOwned + 'static> IntoFuture for EventWait<T> {
    type Output = Option<Event<T>>;
    /// Not `Send`: a wait does not go into a step.
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output>>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl<T: DeserializeOwned> EventWait<T> {
    async fn run(self) -> Option<Event<T>> {
        let Self { execution, key, name, matching, timeout, data: _ } = self;
        let key = match key {
            Ok(key) => key,
            Err(error) => return execution.end(Outcome::Failed(error.to_record())).await,
        };
        match execution.memo(&key) {
            Some(Memo::Came(None)) => None,
            Some(Memo::Came(Some(event))) => match event.clone().typed() {
                Ok(event) => Some(event),
                Err(error) => execution.undecodable(&key, error).await,
            },
            Some(memo @ Memo::Event { .. }) => execution.wait(&key, memo.clone(), false).await,
            Some(_) => execution.undecodable(&key, "the id belonged to something else than an event").await,
            None => {
                if let Some(defect) = defect(&name, &matching) {
                    return execution.end(Outcome::Failed(Error::terminal(defect).to_record())).await;
                }
                let until = after(execution.now(), timeout);
                execution.wait(&key, Memo::Event { name, matching, until }, true).await
            }
        }
    }
}

/// A wait for a signal: a message to whoever waits for this name, from [`crate::Ctx::send_signal`], `POST /v1/signals` or
/// [`crate::engine::signal`]. It begins when it is awaited and gives what was sent, or `None` when nothing was in time.
#[must_use = "a wait does nothing until it is awaited"]
pub struct SignalWait<T>(EventWait<Signal<T>>);

/// The data of a signal's event.
#[derive(serde::Deserialize)]
pub struct Signal<T> {
    data: T,
}

impl<T> SignalWait<T> {
    pub(crate) fn new(execution: Arc<Execution>, id: String, signal: &str) -> Self {
        let meant = format!("async.data.signal == {}", serde_json::Value::from(signal));
        Self(EventWait::new(execution, id, names::SIGNAL.to_owned()).matching(meant))
    }

    /// See [`EventWait::renamed_from`].
    pub fn renamed_from(self, id: impl Into<String>) -> Self {
        Self(self.0.renamed_from(id))
    }

    /// How long to wait: 366 days unless set, which is also the most.
    pub fn timeout(self, timeout: SignedDuration) -> Self {
        Self(self.0.timeout(timeout))
    }
}

impl<T: DeserializeOwned + 'static> IntoFuture for SignalWait<T> {
    type Output = Option<T>;
    /// Not `Send`: a wait does not go into a step.
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output>>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.0.await.map(|event| event.data.data) })
    }
}

/// Why a wait would never end.
fn defect(name: &str, matching: &str) -> Option<String> {
    if name.ends_with('*') {
        return Some(format!("a wait is for events of one name, and {name} is a pattern"));
    }
    let error = Some(matching).filter(|matching| !matching.is_empty()).map(Expression::parse)?.err()?;
    Some(format!("matching {matching:?} cannot be understood: {error}"))
}
