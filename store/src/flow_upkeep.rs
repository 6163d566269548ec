//! What is done to runs without anybody asking: times that are over, schedules, and what is old.

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
    /// Runs that ended before this time go, with all that is recorded of them.
    pub runs_before: Timestamp,
    /// The same for runs that failed.
    pub failed_before: Timestamp,
    /// Events that were received before this time go when no run is left of them.
    pub events_before: Timestamp,
}

impl Store {
    /// Ends runs whose time is over; returns their ids. Whoever executes one is refused from here on.
    pub async fn expire_flow_runs(&self, now: Timestamp, limit: usize) -> Result<Vec<String>, StoreError> {
        each!(self, driver => driver.expire_flow_runs(now, limit).await)
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
