//! Running another function and waiting for what it returns.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::Pin;
use std::sync::Arc;

use billhook_core::run::RunState;
use billhook_core::step::StepKey;
use billhook_core::ulid::ulid;
use jiff::SignedDuration;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::error::{Error, Result};
use crate::exchange::{Invocation, Memo, Outcome, Wait};
use crate::execution::{Execution, WAIT_LONGEST};
use crate::names::FINISHED;
use crate::wait::after;

/// A run of another function. It begins when this is awaited, which gives what it returned, or an error as soon as it failed, was called
/// off, expired, was not started because of its idempotency key or a limit, or did not end in time.
#[must_use = "nothing is invoked until it is awaited"]
pub struct Invoke<T> {
    execution: Arc<Execution>,
    key: Result<StepKey>,
    function: String,
    data: Result<Value>,
    timeout: SignedDuration,
    result: PhantomData<fn() -> T>,
}

/// What the end of the invoked run tells.
#[derive(Deserialize)]
struct Finished {
    run: String,
    state: String,
    result: Option<Value>,
    error: Option<String>,
}

impl<T> Invoke<T> {
    pub(crate) fn new(execution: Arc<Execution>, id: String, function: String, data: &impl Serialize) -> Self {
        let key = execution.key(id);
        let data = serde_json::to_value(data).map_err(|error| {
            Error::terminal(format!("the data for {function} is no JSON, so it is not invoked: {error}"))
        });
        Self { execution, key, function, data, timeout: WAIT_LONGEST, result: PhantomData }
    }

    /// What it was called in an earlier version of the code. Runs that have something recorded under that id go on with it; the others record
    /// it under its new id. Leave it there until the runs that began before are over.
    pub fn renamed_from(mut self, id: impl Into<String>) -> Self {
        self.key = self.execution.renamed(self.key, id.into());
        self
    }

    /// How long to wait for its end: 366 days unless set, which is also the most. The run itself goes on.
    pub fn timeout(mut self, timeout: SignedDuration) -> Self {
        self.timeout = timeout.min(WAIT_LONGEST);
        self
    }
}

impl<T: DeserializeOwned + 'static> IntoFuture for Invoke<T> {
    type Output = Result<T>;
    /// Not `Send`: nothing is invoked within a step.
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output>>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl<T: DeserializeOwned> Invoke<T> {
    async fn run(self) -> Result<T> {
        let Self { execution, key, function, data, timeout, result: _ } = self;
        let key = key?;
        match execution.memo(&key) {
            Some(Memo::Came(Some(event))) => match serde_json::from_value(event.data.clone()) {
                Ok(finished) => returned(&execution, &key, &function, finished).await,
                Err(error) => execution.undecodable(&key, error).await,
            },
            Some(Memo::Came(None)) => Err(Error::terminal(format!("{function} did not end within {timeout:#}"))),
            Some(memo @ Memo::Event { .. }) => execution.wait(&key, memo.clone(), false).await,
            Some(_) => execution.undecodable(&key, "the id belonged to something else than an invocation").await,
            None => {
                match execution.fakes.get(&key.id) {
                    Some(Ok(value)) => return decode(&execution, &key, value.clone()).await,
                    Some(Err(error)) => return Err(Error::recorded(error)),
                    None => {}
                }
                if !execution.knows(&function) {
                    let message = format!("there is no function {function} to invoke");
                    return execution.end(Outcome::Failed(Error::terminal(message).to_record())).await;
                }
                let (run, until) = (ulid(execution.now()), after(execution.now(), timeout));
                let (name, matching) =
                    (FINISHED.to_owned(), format!("async.data.run == {}", Value::from(run.as_str())));
                let (memo, data) = (Memo::Event { name, matching, until }, data?);
                let invokes = Some(Invocation { run, function, data });
                execution.wait_for(Wait { key, memo, is_new: true, invokes }).await
            }
        }
    }
}

/// What the invoked run returned.
async fn returned<T: DeserializeOwned>(
    execution: &Execution,
    key: &StepKey,
    function: &str,
    finished: Finished,
) -> Result<T> {
    let Finished { run, state, result, error } = finished;
    if state != RunState::Succeeded.name() {
        let why = error.unwrap_or_else(|| "no reason is recorded".to_owned());
        return Err(Error::terminal(format!("{function} (run {run}) is {state}: {why}")));
    }
    decode(execution, key, result.unwrap_or_default()).await
}

async fn decode<T: DeserializeOwned>(execution: &Execution, key: &StepKey, value: Value) -> Result<T> {
    match serde_json::from_value(value) {
        Ok(value) => Ok(value),
        Err(error) => execution.undecodable(key, error).await,
    }
}
