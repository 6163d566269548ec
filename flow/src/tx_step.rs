//! Steps whose SQL and record are committed together.

use std::future::Future;
use std::marker::PhantomData;
use std::pin::{Pin, pin};
use std::sync::{Arc, Weak};
use std::time::Duration;

use billhook_core::retry::{Backoff, RETRIES_DEFAULT, RETRIES_MAX};
use billhook_core::step::StepKey;
use billhook_store::{SqlError, SqlRow, SqlValue};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::Error;
use crate::exchange::{CommitError, Memo, Outcome, Record, TransactionSession};
use crate::execution::Execution;
use crate::step::{Beginning, TIMEOUT_DEFAULT, after_attempt, begin, encode, end};

/// How long the transaction of one attempt may be open unless the step says otherwise. On SQLite nobody else writes meanwhile.
pub const HOLD_DEFAULT: Duration = Duration::from_secs(10);

/// The longest time that a step may ask for. PostgreSQL ends a transaction in which nothing happens for 20 s.
pub const HOLD_MAX: Duration = Duration::from_secs(15);

/// Transactions of one attempt that are begun anew because the database was away or two of them collided.
const REPEATS_MAX: u32 = 3;

/// The pause before the first of them, in milliseconds; each further one is twice as long.
const REPEAT_PAUSE_MS: u64 = 50;

/// The transaction of a [`crate::Ctx::tx_step`], for its body. Cheap to clone; of no use when the body has returned.
#[derive(Clone)]
pub struct Tx {
    session: Weak<dyn TransactionSession>,
}

impl Tx {
    /// The rows of a statement, at most 10,000. Placeholders are `$1`, `$2`, … on both databases; see [`SqlValue`] for what may be used
    /// where.
    ///
    /// # Errors
    /// When the database refuses the statement or a parameter, or when the transaction was open for too long. Nothing of the
    /// transaction is written then, even if the body goes on.
    pub async fn query(&self, sql: &str, parameters: &[SqlValue]) -> Result<Vec<SqlRow>, SqlError> {
        let session = self.session.upgrade().ok_or(SqlError::Over)?;
        session.query(sql, parameters).await
    }

    /// Runs a statement; returns how many rows it inserted, updated or deleted.
    ///
    /// # Errors
    /// As [`Tx::query`].
    pub async fn execute(&self, sql: &str, parameters: &[SqlValue]) -> Result<u64, SqlError> {
        let session = self.session.upgrade().ok_or(SqlError::Over)?;
        session.execute(sql, parameters).await
    }
}

/// A step in a transaction that has not begun. It begins when it is awaited.
#[must_use = "a step does nothing until it is awaited"]
pub struct TxStep<'a, B> {
    execution: Arc<Execution>,
    key: Result<StepKey, Error>,
    body: B,
    retries: u32,
    backoff: Backoff,
    hold: Duration,
    borrows: PhantomData<&'a ()>,
}

impl<B> TxStep<'_, B> {
    pub(crate) fn new(execution: Arc<Execution>, id: String, body: B) -> Self {
        let key = execution.key(id);
        let (retries, backoff, hold) = (RETRIES_DEFAULT, Backoff::Table, HOLD_DEFAULT);
        Self { execution, key, body, retries, backoff, hold, borrows: PhantomData }
    }

    /// What it was called in an earlier version of the code. Runs that have something recorded under that id go on with it; the others record
    /// it under its new id. Leave it there until the runs that began before are over.
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

    /// How long the transaction may be open, from its first statement on: [`HOLD_DEFAULT`] unless set, [`HOLD_MAX`] at most. Then it is
    /// rolled back, and the attempt has failed.
    pub fn hold(mut self, hold: Duration) -> Self {
        self.hold = hold.min(HOLD_MAX);
        self
    }
}

impl<'a, B, F, T, E> IntoFuture for TxStep<'a, B>
where
    B: Fn(Tx) -> F + 'a,
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

impl<B> TxStep<'_, B> {
    async fn run<F, T, E>(self) -> Result<T, Error>
    where
        B: Fn(Tx) -> F,
        F: Future<Output = Result<T, E>> + Send,
        T: Serialize + DeserializeOwned,
        E: Into<Error>,
    {
        let Self { execution, key, body, retries, backoff, hold, borrows: _ } = self;
        let key = key?;
        let attempt = match begin(&execution, &key).await {
            Beginning::Attempt(attempt) => attempt,
            Beginning::Over(result) => return result,
        };
        let busy = execution.busy();
        let done = match execution.fakes.get(&key.id) {
            Some(fake) => {
                let memo = fake.clone().map_or_else(Memo::Failed, Memo::Done);
                execution.record(&key, memo.clone()).await;
                Ok(memo)
            }
            None => transact(&execution, &key, hold, &body).await,
        };
        let memo = match done {
            Ok(recorded) => recorded,
            Err(error) => {
                let memo = after_attempt(&execution, Err(error), attempt, retries, &backoff);
                execution.record(&key, memo.clone()).await;
                memo
            }
        };
        drop(busy);
        end(&execution, &key, memo).await
    }
}

/// One attempt: the memo that was committed with what the body did, or why nothing of it is written.
async fn transact<B, F, T, E>(execution: &Execution, key: &StepKey, hold: Duration, body: &B) -> Result<Memo, Error>
where
    B: Fn(Tx) -> F,
    F: Future<Output = Result<T, E>> + Send,
    T: Serialize,
    E: Into<Error>,
{
    let mut repeats = 0;
    loop {
        let session = execution.begin(hold).ok_or_else(|| {
            let id = &key.id;
            Error::terminal(format!(
                "{key} is a transaction, and there is no database here; give the trial a fake: .fake({id:?}, json!(…))"
            ))
        })?;
        let failed = match run_body(&session, hold, body).await {
            Ok(value) => {
                let memo = Memo::Done(value);
                match session.commit(Record::new(key.clone(), memo.clone())).await {
                    Ok(()) => return Ok(memo),
                    Err(CommitError::Lost(_)) => return execution.end(Outcome::Lost).await,
                    Err(CommitError::Refused(error)) => {
                        let is_passing = error.is_passing();
                        (Error::from(error), is_passing)
                    }
                }
            }
            Err(error) => {
                session.roll_back().await;
                (error, false)
            }
        };
        let (error, is_passing) = failed;
        let is_passing = is_passing || session.failure().is_some_and(|failure| failure.is_passing());
        if !is_passing || repeats == REPEATS_MAX {
            return Err(error);
        }
        tokio::time::sleep(Duration::from_millis(REPEAT_PAUSE_MS << repeats)).await;
        repeats += 1;
    }
}

/// Runs the body until it returns, or until its transaction was open for too long.
async fn run_body<B, F, T, E>(session: &Arc<dyn TransactionSession>, hold: Duration, body: &B) -> Result<Value, Error>
where
    B: Fn(Tx) -> F,
    F: Future<Output = Result<T, E>>,
    T: Serialize,
    E: Into<Error>,
{
    let mut running = pin!(body(Tx { session: Arc::downgrade(session) }));
    let returned = tokio::select! {
        biased;
        result = &mut running => Some(result),
        // The answer that ended it may have come in this moment, so the body is asked once more.
        () = session.ended() => tokio::time::timeout(Duration::ZERO, &mut running).await.ok(),
        () = tokio::time::sleep(TIMEOUT_DEFAULT) => {
            return Err(Error::usual(format!("the step took longer than {TIMEOUT_DEFAULT:?}")));
        }
    };
    let Some(result) = returned else {
        return Err(session.failure().unwrap_or(SqlError::Overdue(hold)).into());
    };
    let result = result.map_err(Into::into)?;
    encode(&result).map_err(|why| {
        Error::terminal(format!("nothing was written because the step's result cannot be recorded: {why}"))
    })
}
