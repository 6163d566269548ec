//! Looking at runs of durable functions and at their events.

use billhook_core::run::RunState;
use billhook_core::step::StepKey;
use jiff::Timestamp;

use crate::{FlowEvent, Store, StoreError};

/// Most runs of one event that [`Store::flow_event_runs`] gives: an event starts a handful of functions, and each result may be large.
pub const EVENT_RUNS_MAX: usize = 100;

/// Which runs to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FlowRunFilter {
    /// Only runs of this function.
    pub function: Option<String>,
    /// Only runs in this state.
    pub state: Option<RunState>,
    /// Only runs that this event started.
    pub event_id: Option<String>,
    /// Only runs created at this time or later.
    pub created_after: Option<Timestamp>,
    /// Only runs created before this time.
    pub created_before: Option<Timestamp>,
    /// Only runs older than this one: the next page.
    pub before: Option<String>,
    /// At most so many.
    pub limit: usize,
}

/// Which events to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FlowEventFilter {
    /// Only events of this name.
    pub name: Option<String>,
    /// Only events that came before the one with this id: the next page. Behind an unknown id there is nothing.
    pub before: Option<String>,
    /// At most so many.
    pub limit: usize,
}

/// A run in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowRunSummary {
    /// Its id, a ULID.
    pub id: String,
    /// The function.
    pub function: String,
    /// The event that started it.
    pub event_id: String,
    /// The event's name; `None` when the event is no longer kept.
    pub event_name: Option<String>,
    /// Its state.
    pub state: RunState,
    /// When it goes on, or the end of the lease of whoever executes it; `None` when it is over, parked, or waits for a place at a gate.
    pub due_at: Option<Timestamp>,
    /// The process that executes it.
    pub holder: Option<String>,
    /// How often the function failed outside of its steps.
    pub failures: u32,
    /// When its event was routed.
    pub created_at: Timestamp,
    /// When it was first executed.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    /// What it failed with, why it is parked, or what a person said who decided about it.
    pub message: Option<String>,
    /// The run that it repeats.
    pub rerun_of: Option<String>,
    /// The version of the function with which it began; empty when the function stated none, `None` before it was executed.
    pub version: Option<String>,
}

/// A run with its result, which a list leaves out because it may be large.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowRunDetail {
    /// The run.
    pub summary: FlowRunSummary,
    /// What it returned, as JSON.
    pub result: Option<String>,
}

/// What is recorded of a step or a wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowStep {
    /// Which.
    pub key: StepKey,
    /// What, as JSON.
    pub memo: String,
    /// Whether it never changes any more.
    pub is_final: bool,
    /// When it was recorded last.
    pub recorded_at: Timestamp,
}

/// An event that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptEvent {
    /// The event.
    pub event: FlowEvent,
    /// When it was written.
    pub received_at: Timestamp,
}

/// How many runs of a function are in a state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowRunCount {
    /// The function.
    pub function: String,
    /// The state.
    pub state: RunState,
    /// The number.
    pub runs: u64,
}

impl Store {
    /// Runs, newest first.
    pub async fn list_flow_runs(&self, filter: FlowRunFilter) -> Result<Vec<FlowRunSummary>, StoreError> {
        each!(self, driver => driver.list_flow_runs(filter).await)
    }

    /// A run with its result.
    pub async fn flow_run_detail(&self, id: &str) -> Result<Option<FlowRunDetail>, StoreError> {
        each!(self, driver => driver.flow_run_detail(id).await)
    }

    /// What is recorded of a run's steps and waits, in the order in which it was recorded.
    pub async fn flow_run_steps(&self, run: &str) -> Result<Vec<FlowStep>, StoreError> {
        each!(self, driver => driver.flow_run_steps(run).await)
    }

    /// How many runs of each function are in each state. It counts all that are kept.
    pub async fn flow_run_counts(&self) -> Result<Vec<FlowRunCount>, StoreError> {
        each!(self, driver => driver.flow_run_counts().await)
    }

    /// An event that started a run.
    pub async fn flow_event(&self, id: &str) -> Result<Option<KeptEvent>, StoreError> {
        each!(self, driver => driver.flow_event(id).await)
    }

    /// Events, newest first.
    pub async fn list_flow_events(&self, filter: FlowEventFilter) -> Result<Vec<KeptEvent>, StoreError> {
        each!(self, driver => driver.list_flow_events(filter).await)
    }

    /// The runs that an event started, newest first, at most [`EVENT_RUNS_MAX`].
    pub async fn flow_event_runs(&self, event_id: &str) -> Result<Vec<FlowRunDetail>, StoreError> {
        each!(self, driver => driver.flow_event_runs(event_id).await)
    }
}
