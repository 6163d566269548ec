//! What is done to runs without anybody asking: times that are over, schedules, and what is old.

use billhook_core::run::RunState;
use jiff::Timestamp;

use crate::{FlowEvent, FlowVersion, Store, StoreError};

/// A run that has been parked for long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedRun {
    /// Its id.
    pub id: String,
    /// The function.
    pub function: String,
    /// Why it is parked.
    pub message: String,
    /// The event that started it.
    pub event: FlowEvent,
}

/// A run that ended without its function: it was called off, expired, or was given a result.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedRun {
    /// Its id.
    pub id: String,
    /// The function.
    pub function: String,
    /// Its last token.
    pub token: i64,
    /// How it ended.
    pub state: RunState,
    /// The result that it was given, as JSON.
    pub result: Option<String>,
    /// Why it ended.
    pub message: Option<String>,
    /// The event that started it.
    pub event: FlowEvent,
}

/// Runs that need a version of their function which nobody has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingVersions {
    /// Functions of which each version executes its own runs.
    pub functions: Vec<String>,
    /// Runs that have been due since this time, with versions that no process has had since.
    pub since: Timestamp,
    /// Why they are parked; `{version}` stands for the version.
    pub message: String,
    /// At most so many.
    pub limit: usize,
}

/// What is old.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowRetention {
    /// Runs that ended before this time go, with all that is recorded of them, and paces of limits whose last start is as old.
    pub runs_before: Timestamp,
    /// The same for runs that failed.
    pub failed_before: Timestamp,
    /// Events that were received before this time go when no run is left of them.
    pub events_before: Timestamp,
}

/// How the message of a run begins that is parked since no process knows its function; the function's id follows. It stays as it is, so
/// that every version finds what another one parked.
pub(crate) const STRAY: &str = "no process knows function ";

/// Which runs nobody takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StrayRuns {
    /// The functions that this process knows.
    pub known: Vec<String>,
    /// Due at this time or before, of a function that no process has known since.
    pub since: Timestamp,
    /// The time.
    pub now: Timestamp,
    /// Most runs.
    pub limit: usize,
}

impl Store {
    /// Notes that a process knows these functions.
    pub async fn note_known_functions(&self, functions: &[String], now: Timestamp) -> Result<(), StoreError> {
        each!(self, driver => driver.note_known_functions(functions, now).await)
    }

    /// Parks runs of functions that no process knows. Returns the functions, and how many runs of each. A paused function counts as
    /// known: its runs wait for whoever paused it.
    pub async fn park_stray_flow_runs(&self, stray: StrayRuns) -> Result<Vec<(String, u64)>, StoreError> {
        each!(self, driver => driver.park_stray_flow_runs(stray).await)
    }

    /// Lets runs of these functions go on that were parked because no process knew their function; returns how many.
    pub async fn take_in_flow_runs(
        &self,
        functions: &[String],
        now: Timestamp,
        limit: usize,
    ) -> Result<u64, StoreError> {
        each!(self, driver => driver.take_in_flow_runs(functions, now, limit).await)
    }

    /// Ends runs whose time is over; returns their ids. Whoever executes one is refused from here on.
    pub async fn expire_flow_runs(&self, now: Timestamp, limit: usize) -> Result<Vec<String>, StoreError> {
        each!(self, driver => driver.expire_flow_runs(now, limit).await)
    }

    /// Runs that ended without their function and of which nobody has told, the oldest first.
    pub async fn ended_flow_runs(&self, limit: usize) -> Result<Vec<EndedRun>, StoreError> {
        each!(self, driver => driver.ended_flow_runs(limit).await)
    }

    /// Notes that a process has these versions of functions at the moment.
    pub async fn note_flow_versions(&self, versions: &[FlowVersion], now: Timestamp) -> Result<(), StoreError> {
        each!(self, driver => driver.note_flow_versions(versions, now).await)
    }

    /// Parks runs that need a version which nobody has; returns their ids.
    pub async fn park_missing_versions(
        &self,
        missing: &MissingVersions,
        now: Timestamp,
    ) -> Result<Vec<String>, StoreError> {
        each!(self, driver => driver.park_missing_versions(missing, now).await)
    }

    /// Runs that were parked at this time or before, the oldest first.
    pub async fn parked_flow_runs(&self, until: Timestamp, limit: usize) -> Result<Vec<ParkedRun>, StoreError> {
        each!(self, driver => driver.parked_flow_runs(until, limit).await)
    }

    /// Removes runs, what is recorded of them, and events, at most `limit` of each; returns how many went.
    pub async fn prune_flow(&self, retention: FlowRetention, limit: usize) -> Result<u64, StoreError> {
        each!(self, driver => driver.prune_flow(retention, limit).await)
    }

    /// Makes a schedule known; returns its latest time that was started or passed over, `now` for a new one.
    pub async fn register_flow_cron(
        &self,
        function: &str,
        schedule: &str,
        now: Timestamp,
    ) -> Result<Timestamp, StoreError> {
        each!(self, driver => driver.register_flow_cron(function, schedule, now).await)
    }
}
