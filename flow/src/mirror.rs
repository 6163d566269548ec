//! Reading objects of Stripe's out of the mirror.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;

use billhook_core::retry::{Backoff, RETRIES_DEFAULT};
use billhook_core::step::StepKey;
use jiff::SignedDuration;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{Error, Result};
use crate::exchange::{Memo, Mirror, Progress};
use crate::execution::{Execution, WAIT_LONGEST};
use crate::names;
use crate::step::{Beginning, after_attempt, begin, end};
use crate::wait::after;

/// How long a read waits for an event unless it is told: as long as an event is under way that Stripe has sent already, and short enough
/// that somebody hears of one that never comes.
const WAIT_DEFAULT: SignedDuration = SignedDuration::from_mins(10);

/// An object as the mirror has it. It is read when this is awaited and recorded as a step, so that a replay sees the same. `None` when the
/// mirror has no such object; a deleted one is `{id, object, deleted: true}`.
#[must_use = "nothing is read until it is awaited"]
pub struct MirrorRead<T> {
    execution: Arc<Execution>,
    key: Result<StepKey>,
    object: String,
    id: String,
    at_least: Option<String>,
    timeout: SignedDuration,
    result: PhantomData<fn() -> T>,
}

impl<T> MirrorRead<T> {
    pub(crate) fn new(execution: Arc<Execution>, object: String, id: String) -> Self {
        let key = execution.key(format!("mirror {object}/{id}"));
        Self { execution, key, object, id, at_least: None, timeout: WAIT_DEFAULT, result: PhantomData }
    }

    /// Not before the mirror has applied this event of Stripe's, given by its id. The event that started the run is always applied, and
    /// every earlier one that this run waited for.
    pub fn at_least(mut self, event: impl Into<String>) -> Self {
        self.at_least = Some(event.into());
        self
    }

    /// How long to wait for that event: 10 minutes unless set, 366 days at most. Then the read fails and says what is missing.
    pub fn timeout(mut self, timeout: SignedDuration) -> Self {
        self.timeout = timeout.min(WAIT_LONGEST);
        self
    }
}

impl<T: DeserializeOwned + 'static> IntoFuture for MirrorRead<T> {
    type Output = Result<Option<T>>;
    /// Not `Send`: it is a step, and steps do not nest.
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output>>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl<T: DeserializeOwned> MirrorRead<T> {
    async fn run(self) -> Result<Option<T>> {
        let Self { execution, key, object, id, at_least, timeout, result: _ } = self;
        let key = key?;
        // Used in every execution, so that a second read of the same kind keeps its own.
        let awaited = match at_least {
            Some(event) => Some((execution.key(format!("{} at least {event}", key.id))?, event)),
            None => None,
        };
        let attempt = match begin(&execution, &key).await {
            Beginning::Attempt(attempt) => attempt,
            Beginning::Over(result) => return result,
        };
        let busy = execution.busy();
        let memo = match execution.fakes.get(&key.id) {
            Some(fake) => fake.clone().map_or_else(Memo::Failed, Memo::Done),
            None => {
                let read = async {
                    let mirror = execution.mirror().ok_or_else(|| no_mirror(&key))?;
                    if let Some((wait, event)) = &awaited
                        && !is_applied(&execution, &*mirror, wait, event, timeout).await?
                    {
                        return Ok(None);
                    }
                    mirror.object(&object, &id).await.map(Some)
                };
                match read.await {
                    Ok(Some(found)) => Memo::Done(found.unwrap_or_default()),
                    Ok(None) => {
                        drop(busy);
                        return wait(&execution, awaited, timeout).await;
                    }
                    Err(error) => after_attempt(&execution, Err(error), attempt, RETRIES_DEFAULT, &Backoff::Table),
                }
            }
        };
        execution.record(&key, memo.clone()).await;
        drop(busy);
        end(&execution, &key, memo).await
    }
}

/// Whether the event took effect; false while it is worth waiting for.
async fn is_applied(
    execution: &Execution,
    mirror: &dyn Mirror,
    wait: &StepKey,
    event: &str,
    timeout: SignedDuration,
) -> Result<bool> {
    let is_over = match execution.memo(wait) {
        Some(Memo::Came(Some(_))) => return Ok(true),
        Some(Memo::Came(None)) => true,
        _ => false,
    };
    // It started this run in the transaction that applied it.
    if execution.request.event.id == event && names::stripe_type(&execution.request.event.name).is_some() {
        return Ok(true);
    }
    match mirror.progress(event).await? {
        Progress::Applied => Ok(true),
        Progress::SetAside => Err(Error::terminal(format!(
            "the mirror has set {event} aside and does not apply it; see `billhook quarantine show {event}`"
        ))),
        Progress::Waiting if is_over => Err(Error::terminal(format!(
            "{event} has arrived and was not applied within {timeout:#}; see what `billhook doctor` says of the mirror"
        ))),
        Progress::Unknown if is_over => Err(Error::terminal(format!(
            "{event} did not arrive within {timeout:#}; see whether it is one of this account's events, and of a type that is delivered"
        ))),
        Progress::Waiting | Progress::Unknown => Ok(false),
    }
}

/// Waits for the event, which tells of itself when it is applied.
async fn wait<T>(execution: &Execution, awaited: Option<(StepKey, String)>, timeout: SignedDuration) -> Result<T> {
    let Some((key, event)) = awaited else { return Err(Error::terminal("nothing is waited for")) };
    match execution.memo(&key) {
        Some(memo @ Memo::Event { .. }) => execution.wait(&key, memo.clone(), false).await,
        _ => {
            let (name, matching) = (names::APPLIED.to_owned(), format!("async.id == {}", Value::from(event)));
            let until = after(execution.now(), timeout);
            execution.wait(&key, Memo::Event { name, matching, until }, true).await
        }
    }
}

fn no_mirror(key: &StepKey) -> Error {
    let id = &key.id;
    Error::terminal(format!(
        "{key} reads the mirror, and there is none here; give the trial a fake: .fake({id:?}, json!(…))"
    ))
}
