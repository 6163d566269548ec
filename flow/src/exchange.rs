//! The one exchange between an engine and a function: what is recorded goes in, what happens next comes out.
//!
//! An engine calls [`crate::Function::execute`] with a [`Request`]. While the function runs, every finished step goes to the engine's
//! [`Journal`] and the function goes on when it is recorded. In the end there is an [`Outcome`]: an end, or what the run waits for.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use billhook_core::Clock;
use billhook_core::step::StepKey;
use billhook_store::{SqlError, SqlRow, SqlValue};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::event::Event;

/// What an engine gives a function to go on with.
#[derive(Clone)]
pub struct Request {
    /// The run's id, a ULID.
    pub run: String,
    /// The event that started it.
    pub event: Event,
    /// All events that started it, in the order in which they came, when it is a batch; empty otherwise.
    pub batch: Vec<Event>,
    /// What is recorded of its steps and waits.
    pub memos: Arc<HashMap<StepKey, Memo>>,
    /// How often the function itself has failed before.
    pub failures: u32,
    /// The engine's clock.
    pub clock: Arc<dyn Clock>,
    /// Chance for the pauses between attempts.
    pub chance: u64,
    /// The ids of the functions that it may invoke.
    pub functions: Arc<[String]>,
}

/// What is recorded of a step or a wait.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Memo {
    /// The step succeeded with this result. It never changes any more.
    Done(Value),
    /// The step failed for good.
    Failed(StepError),
    /// An attempt failed; the next one is made at `at`.
    Retry {
        /// Attempts so far.
        attempts: u32,
        /// The earliest time of the next one.
        at: Timestamp,
        /// What the last one failed with.
        error: StepError,
    },
    /// A step that must not run twice has begun, and nothing is known of its end.
    Begun,
    /// The run sleeps until then.
    Sleep {
        /// The end of the sleep.
        until: Timestamp,
    },
    /// The run waits for an event until then.
    Event {
        /// Its name.
        name: String,
        /// Which of them; empty for any.
        matching: String,
        /// The end of the wait.
        until: Timestamp,
    },
    /// The event that was waited for; `None` when none came in time.
    Came(Option<Event>),
}

/// A failure, as it is recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepError {
    /// What failed, for people.
    pub message: String,
}

/// What a function does next to its record.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Which step.
    pub key: StepKey,
    /// What is to be remembered of it.
    pub memo: Memo,
    /// Events that are sent when it is.
    pub sends: Vec<Sent>,
}

impl Record {
    /// A record that sends nothing.
    pub fn new(key: StepKey, memo: Memo) -> Self {
        Self { key, memo, sends: Vec::new() }
    }
}

/// An event that a run sends.
#[derive(Debug, Clone, PartialEq)]
pub struct Sent {
    /// The event; one with a time in the future is published then.
    pub event: Event,
    /// Of the scheduled events of one name only the last one with this key stays.
    pub schedule_key: Option<String>,
}

/// What a run waits for.
#[derive(Debug, Clone, PartialEq)]
pub struct Wait {
    /// Which step or wait.
    pub key: StepKey,
    /// Its memo: a sleep, an event, or a retry.
    pub memo: Memo,
    /// Whether it is new, so that it has to be recorded.
    pub is_new: bool,
    /// The run that begins with it.
    pub invokes: Option<Invocation>,
}

/// A run of another function, whose end a run waits for.
#[derive(Debug, Clone, PartialEq)]
pub struct Invocation {
    /// The id that the run will have.
    pub run: String,
    /// The function.
    pub function: String,
    /// The data of the event that starts it.
    pub data: Value,
}

impl Wait {
    /// When the run goes on at the latest.
    pub fn until(&self) -> Timestamp {
        match &self.memo {
            Memo::Retry { at, .. } => *at,
            Memo::Sleep { until } | Memo::Event { until, .. } => *until,
            Memo::Done(_) | Memo::Failed(_) | Memo::Begun | Memo::Came(_) => Timestamp::MAX,
        }
    }
}

/// How an execution ended.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The function returned this.
    Finished(Value),
    /// The function failed; it is executed again with what is recorded.
    Retry {
        /// When.
        at: Timestamp,
        /// What it failed with.
        error: StepError,
    },
    /// The function failed for good.
    Failed(StepError),
    /// The function waits for all of these; each of them lets it go on.
    Suspended(Vec<Wait>),
    /// The run cannot go on until somebody decides or repairs something.
    Parked(ParkReason, String),
    /// The run belongs to somebody else by now; nothing more is to be written.
    Lost,
}

/// Why a run cannot go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ParkReason {
    /// A step that must not run twice began, and nobody knows whether it took effect.
    NeedsDecision,
    /// The event or a recorded result does not have the form that the function wants.
    Undecodable,
    /// Workers died again and again while they executed it.
    Poison,
    /// The code was changed, and what the run was waiting in is no longer part of it.
    NeedsMigration,
}

/// The engine refuses a record: the run was given to another worker, or was called off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the run belongs to somebody else")]
pub struct Lost;

/// A future that an engine gives to a function.
pub type Pending<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Where finished steps are recorded.
pub trait Journal: Send + Sync {
    /// Makes a record durable. The step counts, and the function goes on, when this is done.
    fn record(&self, record: Record) -> Pin<Box<dyn Future<Output = Result<(), Lost>> + Send + '_>>;

    /// The execution has ended and did not come to these steps and waits, although they are recorded: the code was changed since.
    fn passed_over(&self, keys: Vec<StepKey>) {
        drop(keys);
    }

    /// A transaction for a step whose SQL and record are committed together, which may be open for `limit`; `None` when this engine has
    /// no database for functions.
    fn begin(&self, limit: Duration) -> Option<Arc<dyn TransactionSession>> {
        let _ = limit;
        None
    }

    /// The mirror that functions read; `None` when this engine has none.
    fn mirror(&self) -> Option<Arc<dyn Mirror>> {
        None
    }
}

/// How far an event of Stripe's has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// It has not arrived, or is no longer kept.
    Unknown,
    /// It has arrived and waits to be applied.
    Waiting,
    /// It is in the quarantine.
    SetAside,
    /// What it says is in the mirror.
    Applied,
}

/// The mirrored objects of Stripe's, as functions read them.
pub trait Mirror: Send + Sync {
    /// An object by its kind, as `invoice`, and its id; `None` when there is none. A deleted one is `{id, object, deleted: true}`.
    fn object<'a>(&'a self, object: &'a str, id: &'a str) -> Pending<'a, crate::Result<Option<Value>>>;

    /// How far an event has come, by its id.
    fn progress<'a>(&'a self, event: &'a str) -> Pending<'a, crate::Result<Progress>>;
}

/// A transaction of the engine's database. It begins with its first statement, and is rolled back when it is dropped.
pub trait TransactionSession: Send + Sync {
    /// Rows of a statement.
    fn query<'a>(&'a self, sql: &'a str, parameters: &'a [SqlValue]) -> Pending<'a, Result<Vec<SqlRow>, SqlError>>;

    /// How many rows a statement changed.
    fn execute<'a>(&'a self, sql: &'a str, parameters: &'a [SqlValue]) -> Pending<'a, Result<u64, SqlError>>;

    /// Makes the record durable together with what the statements did.
    fn commit(&self, record: Record) -> Pending<'_, Result<(), CommitError>>;

    /// Rolls back, and returns when that is done.
    fn roll_back(&self) -> Pending<'_, ()>;

    /// Returns when the transaction has ended by itself, because it was open for too long.
    fn ended(&self) -> Pending<'_, ()>;

    /// What the first statement that failed did fail with.
    fn failure(&self) -> Option<SqlError>;
}

/// Why neither the record nor what the statements did is written.
#[derive(Debug, Clone, thiserror::Error)]
pub enum CommitError {
    /// The run was given to another worker, or was called off.
    #[error(transparent)]
    Lost(#[from] Lost),
    /// The database refused it.
    #[error(transparent)]
    Refused(#[from] SqlError),
}
