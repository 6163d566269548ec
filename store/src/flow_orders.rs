//! What a person may do about runs of durable functions.

use billhook_core::run::{Illegal, RunInput, RunState};
use jiff::Timestamp;

use crate::{Control, FlowEvent, Keep, NewFlowRun, Publication, Store, StoreError};

/// Runs called off in one transaction: it holds their locks, for which their holders wait.
const CANCEL_BATCH_MAX: usize = 500;

/// What became of something that was asked for a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// It is done.
    Done,
    /// There is no such run, or what it needs is no longer kept.
    NotFound,
    /// The run is in this state, in which it means nothing; nothing was changed.
    Illegal(RunState),
    /// This other run of the function has the same singleton key and has not ended; nothing was changed.
    Occupied(String),
}

/// Many runs that are to be called off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cancellation {
    /// Its id, a ULID.
    pub id: String,
    /// Runs of this function.
    pub function: String,
    /// Only those that this event started.
    pub event_id: Option<String>,
    /// Only those created at this time or later.
    pub created_after: Option<Timestamp>,
    /// Only those created before this time; with it, runs that are started meanwhile are left alone.
    pub created_before: Timestamp,
    /// Why, for whoever looks at the runs.
    pub reason: String,
    /// When it was asked for.
    pub requested_at: Timestamp,
}

/// A cancellation of many runs, and how many they were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CancellationSummary {
    /// What was asked for.
    pub cancellation: Cancellation,
    /// Runs that were called off.
    pub runs: u64,
}

/// A run of a known event that is to be started once more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Redelivery {
    /// The run's id, a ULID.
    pub run: String,
    /// The function.
    pub function: String,
    /// Of two runs of a function with one key only the first exists.
    pub dedupe_key: String,
    /// What limits it.
    pub control: Control,
}

impl Redelivery {
    fn of(&self, now: Timestamp) -> NewFlowRun {
        NewFlowRun {
            id: self.run.clone(),
            function: self.function.clone(),
            dedupe_key: self.dedupe_key.clone(),
            due_at: now,
            start_by: None,
            end_by: None,
            cancels: Vec::new(),
            control: self.control.clone(),
        }
    }

    /// An event once more, for these runs and for nobody who waits.
    pub(crate) fn publication(runs: &[Self], event: FlowEvent, now: Timestamp) -> Publication {
        let runs = runs.iter().map(|run| run.of(now)).collect();
        Publication { event, names: Vec::new(), keep: Keep::Already, runs }
    }
}

/// A function that is paused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PausedFunction {
    /// The function.
    pub id: String,
    /// Since when.
    pub paused_at: Timestamp,
    /// Why.
    pub reason: String,
}

/// What a person asks for a run.
#[derive(Debug, Clone)]
pub(crate) enum RunOrder {
    Cancel { reason: String },
    Retry,
    Resolve { result: String, reason: String },
}

/// What an order changes. Whoever holds the run loses it in any case.
#[derive(Debug)]
pub(crate) struct RunChange {
    pub(crate) state: RunState,
    pub(crate) due_at: Option<Timestamp>,
    pub(crate) ended_at: Option<Timestamp>,
    pub(crate) result: Option<String>,
    pub(crate) message: Option<String>,
    pub(crate) forgives_failures: bool,
    /// How the memos begin that are forgotten, so that their steps run again.
    pub(crate) forgets: &'static [&'static str],
}

/// How memos of steps begin that did not succeed.
const UNSUCCESSFUL: [&str; 3] = [r#"{"failed":"#, r#"{"retry":"#, WAITING];

/// How memos of waits for events begin that have no end. Nobody remembers such a wait when its run has ended, so that it begins anew.
const WAITING: &str = r#"{"event":"#;

/// The same, with steps that must not run twice and whose end nobody knows: their run is parked so that a person decides, and
/// who lets it go on decides that they run again.
const UNDECIDED: [&str; 4] = [UNSUCCESSFUL[0], UNSUCCESSFUL[1], WAITING, r#""begun""#];

impl RunOrder {
    /// Whether it lets an ended run go on, which may have lost its singleton key meanwhile.
    pub(crate) fn goes_on(&self) -> bool {
        matches!(self, Self::Retry)
    }

    /// What it changes for a run in this state and with this message.
    pub(crate) fn change(self, state: RunState, message: Option<&str>, now: Timestamp) -> Result<RunChange, Illegal> {
        let input = match &self {
            Self::Cancel { .. } => RunInput::Cancel,
            Self::Retry if state == RunState::Parked => RunInput::Resume,
            Self::Retry => RunInput::Retry,
            Self::Resolve { .. } => RunInput::Resolve,
        };
        let after = state.after(input)?;
        let over = RunChange {
            state: after,
            due_at: None,
            ended_at: Some(now),
            result: None,
            message: None,
            forgives_failures: false,
            forgets: &[],
        };
        Ok(match self {
            Self::Cancel { reason } => RunChange { message: Some(storable(&reason)), ..over },
            Self::Retry => RunChange {
                due_at: Some(now),
                ended_at: None,
                forgives_failures: true,
                forgets: if state == RunState::Parked { &UNDECIDED } else { &UNSUCCESSFUL },
                ..over
            },
            Self::Resolve { result, reason } => {
                let before = message.map(|message| format!(" (before: {message})")).unwrap_or_default();
                RunChange { result: Some(result), message: Some(storable(&format!("{reason}{before}"))), ..over }
            }
        })
    }
}

/// PostgreSQL's text holds every character but NUL.
pub(crate) fn storable(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

/// The states that a cancellation ends, by name.
pub(crate) fn cancellable() -> Vec<&'static str> {
    let takes = |state: &RunState| state.after(RunInput::Cancel).is_ok();
    RunState::ALL.into_iter().filter(takes).map(RunState::name).collect()
}

/// Whether a run in this state does not go on by itself, so that repeating it makes no second one beside it.
pub(crate) fn may_be_rerun(state: RunState) -> bool {
    state.is_over() || state == RunState::Parked
}

impl Store {
    /// Calls a run off, whoever holds it: from then on its holder is refused.
    pub async fn cancel_flow_run(&self, id: &str, reason: &str, now: Timestamp) -> Result<Verdict, StoreError> {
        let order = RunOrder::Cancel { reason: reason.to_owned() };
        each!(self, driver => driver.order_flow_run(id, order, now).await)
    }

    /// Lets a failed or parked run go on: what succeeded stays, and what did not runs again with all its retries. In a parked run
    /// that includes steps that must not run twice and whose end is unknown. It stands behind what is ready, and not at all while another
    /// run has its singleton key.
    pub async fn retry_flow_run(&self, id: &str, now: Timestamp) -> Result<Verdict, StoreError> {
        each!(self, driver => driver.order_flow_run(id, RunOrder::Retry, now).await)
    }

    /// Ends a failed or parked run with a result, given as JSON, as if the function had returned it. `reason` says who decided so
    /// and why; what the run failed with stays behind it in the run's message.
    pub async fn resolve_flow_run(
        &self,
        id: &str,
        result: &str,
        reason: &str,
        now: Timestamp,
    ) -> Result<Verdict, StoreError> {
        let order = RunOrder::Resolve { result: result.to_owned(), reason: reason.to_owned() };
        each!(self, driver => driver.order_flow_run(id, order, now).await)
    }

    /// Starts a run of the same function for the same event from scratch, under an id of its own. Only for a run that is over or
    /// parked: any other would go on beside it. It has the limits of the first one, and waits its turn; while a run has not ended that has
    /// the same singleton key, which a parked run has as well, there is none.
    pub async fn rerun_flow_run(&self, id: &str, new_id: &str, now: Timestamp) -> Result<Verdict, StoreError> {
        each!(self, driver => driver.rerun_flow_run(id, new_id, now).await)
    }

    /// How many runs a cancellation would call off at this moment.
    pub async fn cancellable_flow_runs(&self, cancellation: &Cancellation) -> Result<u64, StoreError> {
        each!(self, driver => driver.cancellable_flow_runs(cancellation).await)
    }

    /// Calls off at most `limit` of the runs that a cancellation means, and notes it. Returns how many; fewer than `limit` means that
    /// there are no more.
    pub async fn cancel_flow_runs(
        &self,
        cancellation: &Cancellation,
        limit: usize,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        each!(self, driver => driver.cancel_flow_runs(cancellation, limit, now).await)
    }

    /// Calls off all runs that a cancellation means, some hundred in a transaction. Returns how many. Broken off, it may be made again
    /// with the same id.
    pub async fn cancel_all_flow_runs(&self, cancellation: &Cancellation, now: Timestamp) -> Result<u64, StoreError> {
        let mut runs = 0;
        loop {
            let cancelled = self.cancel_flow_runs(cancellation, CANCEL_BATCH_MAX, now).await?;
            runs += cancelled;
            if cancelled < CANCEL_BATCH_MAX as u64 {
                return Ok(runs);
            }
        }
    }

    /// Cancellations of many runs, newest first; `before` is the id of the last one of the page before.
    pub async fn flow_cancellations(
        &self,
        before: Option<&str>,
        limit: usize,
    ) -> Result<Vec<CancellationSummary>, StoreError> {
        each!(self, driver => driver.flow_cancellations(before, limit).await)
    }

    /// Starts further runs of an event that is kept. Returns for each whether it is new, or `None` when the event is not known.
    pub async fn redeliver_flow_event(
        &self,
        event_id: &str,
        runs: &[Redelivery],
        now: Timestamp,
    ) -> Result<Option<Vec<bool>>, StoreError> {
        each!(self, driver => driver.redeliver_flow_event(event_id, runs, now).await)
    }

    /// Notes that a function is paused; engines claim none of its runs then. Pausing it again changes the reason.
    pub async fn pause_function(&self, id: &str, reason: &str, now: Timestamp) -> Result<(), StoreError> {
        each!(self, driver => driver.pause_function(id, reason, now).await)
    }

    /// Ends a pause; returns whether there was one.
    pub async fn resume_function(&self, id: &str) -> Result<bool, StoreError> {
        each!(self, driver => driver.resume_function(id).await)
    }

    /// The functions that are paused, by id.
    pub async fn paused_functions(&self) -> Result<Vec<PausedFunction>, StoreError> {
        each!(self, driver => driver.paused_functions().await)
    }
}
