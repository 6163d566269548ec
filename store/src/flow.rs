//! What durable functions keep: events, runs, and what is recorded of their steps.

use billhook_core::run::RunState;
use billhook_core::step::StepKey;
use jiff::Timestamp;

use crate::{Store, StoreError};

/// An event as functions see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowEvent {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Its data as JSON.
    pub data: String,
    /// When it happened.
    pub ts: Timestamp,
}

/// A run to be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFlowRun {
    /// Its id, a ULID.
    pub id: String,
    /// The function.
    pub function: String,
    /// Of two runs of a function with one key only the first exists; the event's id unless the function says otherwise.
    pub dedupe_key: String,
    /// The event that starts it.
    pub event: FlowEvent,
    /// Not before this time.
    pub due_at: Timestamp,
}

/// A run that somebody holds, with all that it needs to go on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClaimedRun {
    /// Its id.
    pub id: String,
    /// The function.
    pub function: String,
    /// The fence: it grows with every claim, and only the last one may write.
    pub token: i64,
    /// How often the function failed outside of its steps.
    pub failures: u32,
    /// The event that started it.
    pub event: FlowEvent,
    /// What is recorded, as JSON.
    pub memos: Vec<(StepKey, String)>,
}

/// Something that is to be remembered of a step or a wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepRecord {
    /// Which.
    pub key: StepKey,
    /// What, as JSON.
    pub memo: String,
    /// Whether it never changes any more.
    pub is_final: bool,
}

/// Where a run goes after an execution.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunNext {
    /// Its state; never `running`, which only a claim makes.
    pub state: RunState,
    /// When it goes on; `None` when it is over or parked.
    pub due_at: Option<Timestamp>,
    /// How often the function failed outside of its steps.
    pub failures: u32,
    /// What it returned, as JSON.
    pub result: Option<String>,
    /// What it failed with, or why it is parked.
    pub message: Option<String>,
}

/// What one execution has to say. Under a token that is not current nothing of it is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunCommit {
    /// The run.
    pub run: String,
    /// The token under which it was claimed.
    pub token: i64,
    /// Records, in their order.
    pub records: Vec<StepRecord>,
    /// Where it goes; `None` while it goes on.
    pub next: Option<RunNext>,
}

/// A run, for looking at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowRun {
    /// Its id.
    pub id: String,
    /// The function.
    pub function: String,
    /// The event that started it.
    pub event_id: String,
    /// Its state.
    pub state: RunState,
    /// When it goes on, or the end of the lease of whoever executes it.
    pub due_at: Option<Timestamp>,
    /// How often the function failed outside of its steps.
    pub failures: u32,
    /// When its event was routed.
    pub created_at: Timestamp,
    /// When it was first executed.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// What it returned, as JSON.
    pub result: Option<String>,
    /// What it failed with, or why it is parked.
    pub message: Option<String>,
}

impl Store {
    /// Claims runs of these functions that are due at `now`, those that wait longest first, with their events and records. A lease
    /// that ended counts as due: its holder is gone.
    pub async fn claim_flow_runs(
        &self,
        holder: &str,
        functions: &[String],
        now: Timestamp,
        lease_until: Timestamp,
        limit: usize,
    ) -> Result<Vec<ClaimedRun>, StoreError> {
        each!(self, driver => driver.claim_flow_runs(holder, functions, now, lease_until, limit).await)
    }

    /// Writes what executions have to say, all of it in one transaction. Returns for each whether it was written; false means that
    /// somebody else holds the run, or that it was called off.
    pub async fn commit_flow_runs(&self, commits: Vec<RunCommit>, now: Timestamp) -> Result<Vec<bool>, StoreError> {
        each!(self, driver => driver.commit_flow_runs(commits, now).await)
    }

    /// Lengthens leases of runs, given with their tokens; returns those that are still held.
    pub async fn renew_flow_runs(
        &self,
        runs: &[(String, i64)],
        lease_until: Timestamp,
    ) -> Result<Vec<String>, StoreError> {
        each!(self, driver => driver.renew_flow_runs(runs, lease_until).await)
    }

    /// When the next run is due, on any node.
    pub async fn next_flow_due(&self) -> Result<Option<Timestamp>, StoreError> {
        each!(self, driver => driver.next_flow_due().await)
    }

    /// A run.
    pub async fn flow_run(&self, id: &str) -> Result<Option<FlowRun>, StoreError> {
        each!(self, driver => driver.flow_run(id).await)
    }

    /// What is recorded of a run, oldest first.
    pub async fn flow_steps(&self, run: &str) -> Result<Vec<(StepKey, String)>, StoreError> {
        each!(self, driver => driver.flow_steps(run).await)
    }
}
