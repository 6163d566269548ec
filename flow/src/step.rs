//! Steps: what a function does to the world, each recorded once.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use billhook_core::retry::{Backoff, RETRIES_DEFAULT, RETRIES_MAX};
use billhook_core::step::StepKey;
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::{Error, Retry};
use crate::exchange::{Memo, Outcome, ParkReason};
use crate::execution::Execution;

/// How long one attempt may take unless the step says otherwise.
pub(crate) const TIMEOUT_DEFAULT: Duration = Duration::from_secs(600);

/// Most bytes of a step's result as JSON: it is read again at every replay.
const RESULT_BYTES_MAX: usize = 4 << 20;

/// One attempt of a step, as its body sees it.
#[derive(Debug, Clone)]
pub struct Call {
    idempotency_key: String,
    attempt: u32,
}

impl Call {
    /// The key under which the effects of this step count once; the same at every attempt.
    pub fn idempotency_key(&self) -> &str {
        &self.idempotency_key
    }

    /// Attempts before this one.
    pub fn attempt(&self) -> u32 {
        self.attempt
    }
}

/// A step that has not begun. It begins when it is awaited.
#[must_use = "a step does nothing until it is awaited"]
pub struct Step<'a, B> {
    execution: Arc<Execution>,
    key: Result<StepKey, Error>,
    body: B,
    retries: u32,
    backoff: Backoff,
    timeout: Duration,
    at_most_once: bool,
    borrows: PhantomData<&'a ()>,
}

impl<B> Step<'_, B> {
    pub(crate) fn new(execution: Arc<Execution>, id: String, body: B) -> Self {
        let key = execution.key(id);
        let (retries, backoff, timeout) = (RETRIES_DEFAULT, Backoff::Table, TIMEOUT_DEFAULT);
        Self { execution, key, body, retries, backoff, timeout, at_most_once: false, borrows: PhantomData }
    }

    /// What it was called in an earlier version of the code. Runs that have something recorded under that id go on with it; the others record
    /// it under its new id. The idempotency key stays that of the former id. Leave it there until the runs that began before are over.
    ///
    /// ```
    /// # use billhook_flow::{Ctx, Result};
    /// # async fn example(ctx: Ctx<()>) -> Result<()> {
    /// ctx.step("remind by mail", || async { Ok::<_, std::io::Error>(()) }).renamed_from("remind").await?;
    /// # Ok(()) }
    /// ```
    pub fn renamed_from(mut self, id: impl Into<String>) -> Self {
        self.key = self.execution.renamed(self.key, id.into());
        self
    }

    /// Further attempts after one that failed: 4 unless set, 20 at most.
    pub fn retries(mut self, retries: u32) -> Self {
        self.retries = retries.min(RETRIES_MAX);
        self
    }

    /// The pauses between attempts.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.backoff = backoff;
        self
    }

    /// How long one attempt may take: 10 minutes unless set. One that takes longer counts as failed.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Never runs the body twice. When it began and nothing is known of its end (a crash, a timeout), the run is parked until a
    /// person decides; an error of the body is final.
    pub fn at_most_once(mut self) -> Self {
        self.at_most_once = true;
        self
    }
}

impl<'a, B, F, T, E> IntoFuture for Step<'a, B>
where
    B: FnOnce(Call) -> F + 'a,
    F: Future<Output = Result<T, E>> + Send + 'a,
    T: Serialize + DeserializeOwned + 'a,
    E: Into<Error> + 'a,
{
    type Output = Result<T, Error>;
    /// Not `Send`, unlike the bodies of steps: this is what keeps steps from nesting.
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl<B> Step<'_, B> {
    async fn run<F, T, E>(self) -> Result<T, Error>
    where
        B: FnOnce(Call) -> F,
        F: Future<Output = Result<T, E>> + Send,
        T: Serialize + DeserializeOwned,
        E: Into<Error>,
    {
        let Self { execution, key, body, retries, backoff, timeout, at_most_once, borrows: _ } = self;
        let key = key?;
        let attempt = match begin(&execution, &key).await {
            Beginning::Attempt(attempt) => attempt,
            Beginning::Over(result) => return result,
        };
        let busy = execution.busy();
        let call = Call { idempotency_key: execution.idempotency_key(&key), attempt };
        let memo = match execution.fakes.get(&key.id) {
            Some(Ok(value)) => Memo::Done(value.clone()),
            Some(Err(error)) => Memo::Failed(error.clone()),
            None => {
                if at_most_once {
                    execution.record(&key, Memo::Begun).await;
                }
                let result = match tokio::time::timeout(timeout, body(call)).await {
                    // The effect has happened: trying again would repeat it and fail in the same way.
                    Ok(Ok(value)) => encode(&value).map_err(|why| {
                        Error::terminal(format!("the step ran, and its result cannot be recorded: {why}"))
                    }),
                    Ok(Err(error)) => Err(error.into()),
                    Err(_elapsed) if at_most_once => {
                        let message = format!("{key} took longer than {timeout:?}, and it must not run twice");
                        return execution.end(Outcome::Parked(ParkReason::NeedsDecision, message)).await;
                    }
                    Err(_elapsed) => Err(Error::usual(format!("the step took longer than {timeout:?}"))),
                };
                after_attempt(&execution, result, attempt, if at_most_once { 0 } else { retries }, &backoff)
            }
        };
        execution.record(&key, memo.clone()).await;
        drop(busy);
        end(&execution, &key, memo).await
    }
}

/// What a step finds of itself when it is awaited.
pub(crate) enum Beginning<T> {
    /// An attempt is to be made, after so many.
    Attempt(u32),
    /// It is recorded how the step ended.
    Over(Result<T, Error>),
}

/// Looks at what is recorded of a step. Does not return when the step waits, or when nobody knows what to do.
pub(crate) async fn begin<T: DeserializeOwned>(execution: &Execution, key: &StepKey) -> Beginning<T> {
    match execution.memo(key) {
        None => Beginning::Attempt(0),
        Some(Memo::Done(value)) => Beginning::Over(Ok(decode(execution, key, value.clone()).await)),
        Some(Memo::Failed(error)) => Beginning::Over(Err(Error::recorded(error))),
        Some(memo @ Memo::Retry { at, .. }) if *at > execution.now() => execution.wait(key, memo.clone(), false).await,
        Some(Memo::Retry { attempts, .. }) => Beginning::Attempt(*attempts),
        Some(Memo::Begun) => {
            let message = format!("{key} began and nothing is known of its end; it must not run twice");
            execution.end(Outcome::Parked(ParkReason::NeedsDecision, message)).await
        }
        Some(Memo::Sleep { .. } | Memo::Event { .. } | Memo::Came(_)) => {
            execution.undecodable(key, "the id belonged to a wait before").await
        }
    }
}

/// What a step gives its function when this was recorded. Does not return when it is tried again.
pub(crate) async fn end<T: DeserializeOwned>(execution: &Execution, key: &StepKey, memo: Memo) -> Result<T, Error> {
    match memo {
        Memo::Done(value) => Ok(decode(execution, key, value).await),
        Memo::Failed(error) => Err(Error::recorded(&error)),
        waiting => execution.wait(key, waiting, false).await,
    }
}

/// What is recorded after an attempt.
pub(crate) fn after_attempt(
    execution: &Execution,
    result: Result<Value, Error>,
    attempt: u32,
    retries: u32,
    backoff: &Backoff,
) -> Memo {
    let error = match result {
        Ok(value) => return Memo::Done(value),
        Err(error) => error,
    };
    if attempt >= retries {
        return Memo::Failed(error.to_record());
    }
    let pause = match error.retry {
        Retry::Never => return Memo::Failed(error.to_record()),
        Retry::After(pause) => pause,
        Retry::Usual => backoff.pause(attempt, execution.request.chance),
    };
    let at = execution.now().saturating_add(pause).unwrap_or(Timestamp::MAX);
    Memo::Retry { attempts: attempt + 1, at, error: error.to_record() }
}

/// The result as JSON; `Err` says why it cannot be recorded.
pub(crate) fn encode<T: Serialize>(value: &T) -> Result<Value, String> {
    let text = serde_json::to_vec(value).map_err(|error| error.to_string())?;
    if text.len() > RESULT_BYTES_MAX {
        return Err(format!("{} bytes are more than {RESULT_BYTES_MAX}", text.len()));
    }
    serde_json::from_slice(&text).map_err(|error| error.to_string())
}

async fn decode<T: DeserializeOwned>(execution: &Execution, key: &StepKey, value: Value) -> T {
    match serde_json::from_value(value) {
        Ok(value) => value,
        Err(error) => execution.undecodable(key, error).await,
    }
}
