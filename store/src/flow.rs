//! What durable functions keep: events, runs, and what is recorded of their steps.

use std::sync::Arc;

use billhook_core::failpoint;
use billhook_core::run::RunState;
use billhook_core::step::StepKey;
use jiff::Timestamp;

use crate::{Blocked, Control, Pause, Store, StoreError, Suspects};

/// An event as functions see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowEvent {
    /// Makes it one event: its id with where it comes from, so that an id which a user chose never meets one of Stripe's.
    pub key: String,
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
    /// Of two runs of a function with one key only the first exists; the event's key unless the function says otherwise.
    pub dedupe_key: String,
    /// Not before this time.
    pub due_at: Timestamp,
    /// When it has to have begun, if there is such a time.
    pub start_by: Option<Timestamp>,
    /// When it has to have ended, if there is such a time.
    pub end_by: Option<Timestamp>,
    /// What calls it off.
    pub cancels: Vec<FlowWait>,
    /// What limits it.
    pub control: Control,
}

/// An event with all that it starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Publication {
    /// The event.
    pub event: FlowEvent,
    /// All names by which waits may know it.
    pub names: Vec<String>,
    /// Whether it stays in the table of events.
    pub keep: Keep,
    /// The runs that it starts.
    pub runs: Vec<NewFlowRun>,
}

/// Whether an event stays in the table of events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Keep {
    /// When it starts a run. It is one of Stripe's, and its delivery stays in any case.
    IfUsed,
    /// Always. A second one with the same key is counted and ends no wait.
    Always,
    /// It is in the table: it was scheduled, and its time has come.
    Already,
    /// Always, and until then it starts and ends nothing. It replaces a scheduled event of the same name and schedule key.
    Until(Timestamp, Option<String>),
}

/// What a publication did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Published {
    /// For each of its runs whether it is new.
    pub started: Vec<bool>,
    /// Runs whose wait it ended.
    pub woken: Vec<String>,
    /// Runs that it called off.
    pub cancelled: Vec<String>,
    /// The same event was published before.
    pub is_duplicate: bool,
}

/// What an event does to a run that waits for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum WaitKind {
    /// It is the result of a wait.
    Event,
    /// It calls the run off.
    Cancel,
}

impl WaitKind {
    /// Its name in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Event => "event",
            Self::Cancel => "cancel",
        }
    }

    /// The kind of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Event, Self::Cancel].into_iter().find(|kind| kind.name() == name)
    }
}

/// Something that a run waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowWait {
    /// The run.
    pub run: String,
    /// What the event does.
    pub kind: WaitKind,
    /// The wait; for [`WaitKind::Cancel`] an empty id and the number of the condition.
    pub key: StepKey,
    /// The name of the event.
    pub name: String,
    /// Where the event carries `value`; empty when every event of the name has to be looked at.
    pub path: String,
    /// What an event must carry at `path`.
    pub value: String,
    /// The whole condition; empty for any event.
    pub expression: String,
    /// The end of the wait.
    pub until: Option<Timestamp>,
}

/// A wait with the event that started its run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredWait {
    /// The wait.
    pub wait: FlowWait,
    /// The event that started the run.
    pub trigger: FlowEvent,
}

/// Decides which event ends which wait. The store finds candidates and knows nothing of expressions.
pub trait WaitMatcher: Send + Sync {
    /// What an event carries at a path, as far as it is text.
    fn value(&self, event: &FlowEvent, path: &str) -> Option<String>;

    /// Whether an event is what is waited for.
    fn matches(&self, wait: &StoredWait, event: &FlowEvent) -> bool;

    /// What is recorded as the result of a wait; nothing stands for the end of its time.
    fn memo(&self, event: Option<&FlowEvent>) -> String;
}

/// Decides for commits that send nothing: there is no event to decide about.
pub(crate) struct NothingSent;

impl WaitMatcher for NothingSent {
    fn value(&self, _event: &FlowEvent, _path: &str) -> Option<String> {
        None
    }

    fn matches(&self, _wait: &StoredWait, _event: &FlowEvent) -> bool {
        false
    }

    fn memo(&self, _event: Option<&FlowEvent>) -> String {
        String::new()
    }
}

/// A name of events that a transaction deals with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct EventName {
    /// The name.
    pub name: String,
    /// Whether waits for it are registered, and not only ended.
    pub registers: bool,
}

/// A version of a function.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct FlowVersion {
    /// The function.
    pub function: String,
    /// Its version; empty when none is stated.
    pub version: String,
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
    /// Workers that died while they had it, since it last got on.
    pub crashes: u32,
    /// Whether nobody had it before.
    pub is_first: bool,
    /// The version of the function with which it began; `None` when whoever claimed it first named none.
    pub version: Option<String>,
    /// When its event was published.
    pub created_at: Timestamp,
    /// The event that started it.
    pub event: FlowEvent,
    /// What is recorded, as JSON.
    pub memos: Vec<(StepKey, String)>,
    /// Its place among runs that were ready; none when it had begun, or its time came.
    pub rank: Option<i64>,
    /// All events of a batch in the order in which they came; empty for one event.
    pub batch: Vec<FlowEvent>,
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
    /// What it begins to wait for, recorded as well.
    pub waits: Vec<FlowWait>,
    /// Events that it sends.
    pub publications: Vec<Publication>,
    /// Whether it got further than where workers died before.
    pub got_on: bool,
    /// Where it goes; `None` while it goes on.
    pub next: Option<RunNext>,
}

impl RunCommit {
    /// Nothing to say yet.
    pub fn new(run: impl Into<String>, token: i64) -> Self {
        let (records, waits, publications) = Default::default();
        Self { run: run.into(), token, records, waits, publications, got_on: false, next: None }
    }
}

/// A run, for looking at it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FlowRun {
    /// Its id.
    pub id: String,
    /// The function.
    pub function: String,
    /// The event that started it.
    pub event_key: String,
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
    /// The gate at which it waits for a place.
    pub blocked: Option<Blocked>,
    /// Why it is not due yet, when it was never executed.
    pub pause: Option<Pause>,
    /// Events that it was started by, and the most of them.
    pub events: (u32, u32),
}

/// A request for runs.
#[derive(Debug, Clone)]
pub struct FlowClaim {
    /// Who asks.
    pub holder: String,
    /// The functions it knows.
    pub functions: Vec<String>,
    /// The version of each with which a run begins. A run of a function that is not in it stays without one.
    pub newest: Vec<FlowVersion>,
    /// Of functions of which each version executes its own runs: the versions that whoever asks has.
    pub pinned: Vec<FlowVersion>,
    /// The time.
    pub now: Timestamp,
    /// The end of the lease.
    pub lease_until: Timestamp,
    /// Most runs.
    pub limit: usize,
    /// What is recorded for a wait whose time is over.
    pub over: String,
    /// What it takes of runs with which workers died.
    pub suspects: Suspects,
    /// Names of gates with their places. Without any, gates are not looked at.
    pub places: Vec<(String, u32)>,
}

/// What to look for among earlier events.
#[derive(Debug, Clone)]
pub struct Lookback {
    /// The run that waits.
    pub run: String,
    /// The name of the events.
    pub name: String,
    /// Stripe's type, when the name is one of Stripe's events.
    pub event_type: Option<String>,
    /// Received at this time or later.
    pub since: Timestamp,
    /// So many of each kind were looked at before.
    pub skip: usize,
}

/// Earlier events, each kind in the order in which it came.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// Events of the table of events.
    pub events: Vec<FlowEvent>,
    /// Deliveries of Stripe's, byte for byte.
    pub deliveries: Vec<Vec<u8>>,
}

impl Seen {
    /// Whether there may be more behind these.
    pub fn is_full(&self) -> bool {
        self.events.len() >= LOOKBACK_MAX || self.deliveries.len() >= LOOKBACK_MAX
    }
}

/// Gates that are looked at in one sweep.
pub(crate) const GATES_SWEPT: usize = 500;

/// How often a claim looks again when it found runs and no places for them: they are out of the way then.
pub(crate) const CLAIM_ROUNDS: usize = 8;

/// Most earlier events of a kind that are looked at together. Those of a run that lives long, with a name that many have, are more.
pub const LOOKBACK_MAX: usize = 1_000;

/// How far the sequence of deliveries may lag behind the order of commits, in deliveries: several batches of ingest are under way
/// at once.
pub(crate) const SEQUENCE_SLACK: i64 = 4_096;

impl Store {
    /// Claims runs of these functions that are due at `now`, with their events and records: in turn one whose time has come, the earliest
    /// first, and one that is ready to begin, in the order of ranks. A lease that ended counts as due: its holder is gone. What finds no
    /// place at a gate is not due again before one is free.
    pub async fn claim_flow_runs(&self, claim: FlowClaim) -> Result<Vec<ClaimedRun>, StoreError> {
        each!(self, driver => driver.claim_flow_runs(claim).await)
    }

    /// Writes what executions have to say, all of it in one transaction. Returns for each whether it was written; false means that
    /// somebody else holds the run, or that it was called off.
    pub async fn commit_flow_runs(
        &self,
        commits: Vec<RunCommit>,
        matcher: Arc<dyn WaitMatcher>,
        now: Timestamp,
    ) -> Result<Vec<bool>, StoreError> {
        let passed = CommitPassed::of(&commits);
        let written = each!(self, driver => driver.commit_flow_runs(commits, matcher, now).await)?;
        passed.hit("after_record_commit", "after_end_commit");
        Ok(written)
    }

    /// Gives runs back, given with their tokens: they are due at once. However often it happens, it counts as one death at most.
    pub async fn release_flow_runs(&self, runs: &[(String, i64)], now: Timestamp) -> Result<(), StoreError> {
        each!(self, driver => driver.release_flow_runs(runs, now).await)
    }

    /// Events of this name that were there before a run began to wait for it: those received at `since` or later, and the deliveries
    /// after the newest one at the run's beginning that have Stripe's type `event_type`. At most [`LOOKBACK_MAX`] of each kind, the
    /// oldest of those that are not skipped.
    pub async fn flow_lookback(&self, lookback: &Lookback) -> Result<Seen, StoreError> {
        each!(self, driver => driver.flow_lookback(lookback).await)
    }

    /// Keys of scheduled events whose time has come, the earliest first, and when the next one is due.
    pub async fn due_flow_events(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<(Vec<FlowEvent>, Option<Timestamp>), StoreError> {
        each!(self, driver => driver.due_flow_events(now, limit).await)
    }

    /// Calls off a scheduled event; false when there is none of this key, or when its time has come.
    pub async fn cancel_flow_event(&self, key: &str, now: Timestamp) -> Result<bool, StoreError> {
        each!(self, driver => driver.cancel_flow_event(key, now).await)
    }

    /// Lengthens leases of runs, given with their tokens; returns those that are still held.
    pub async fn renew_flow_runs(
        &self,
        runs: &[(String, i64)],
        lease_until: Timestamp,
    ) -> Result<Vec<String>, StoreError> {
        each!(self, driver => driver.renew_flow_runs(runs, lease_until).await)
    }

    /// Lets runs go on that stand at gates with free places, as a process that died or a limit that was raised leaves them. Looks at no
    /// more than a bounded number of gates behind `after`; returns the last of them when there may be more.
    pub async fn open_flow_gates(
        &self,
        places: &[(String, u32)],
        after: &str,
        now: Timestamp,
    ) -> Result<Option<String>, StoreError> {
        each!(self, driver => driver.open_flow_gates(places, after, now).await)
    }

    /// Events that started nothing because of a rate limit, by the key that was over it, with the time of the last one.
    pub async fn flow_refusals(&self, limit: usize) -> Result<Vec<(String, u64, Timestamp)>, StoreError> {
        each!(self, driver => driver.flow_refusals(limit).await)
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

/// Which failpoints commits pass.
pub(crate) struct CommitPassed {
    records: bool,
    ends: bool,
}

impl CommitPassed {
    pub(crate) fn of(commits: &[RunCommit]) -> Self {
        let ends = |one: &RunCommit| one.next.as_ref().is_some_and(|next| next.state.is_over());
        Self { records: commits.iter().any(|one| !one.records.is_empty()), ends: commits.iter().any(ends) }
    }

    pub(crate) fn hit(&self, of_records: &'static str, of_ends: &'static str) {
        if self.records {
            failpoint::hit(of_records);
        }
        if self.ends {
            failpoint::hit(of_ends);
        }
    }
}

/// The names that commits deal with: those that runs begin to wait for, and those of events that they send.
pub(crate) fn event_names(commits: &[RunCommit]) -> Vec<EventName> {
    let waits =
        commits.iter().flat_map(|one| &one.waits).map(|wait| EventName { name: wait.name.clone(), registers: true });
    let sent = commits.iter().flat_map(|one| &one.publications).flat_map(Publication::event_names);
    waits.chain(sent).collect()
}

impl NewFlowRun {
    /// The first time at which it expires.
    pub(crate) fn expires_at(&self) -> Option<Timestamp> {
        self.start_by.into_iter().chain(self.end_by).min()
    }
}

impl Publication {
    /// The same, and if its time has not come it takes the place of a scheduled event of its name with this key.
    #[must_use]
    pub fn replacing(mut self, schedule_key: Option<String>) -> Self {
        if let Keep::Until(_, key) = &mut self.keep {
            *key = schedule_key;
        }
        self
    }

    /// The names that a transaction deals with when it publishes this.
    pub fn event_names(&self) -> impl Iterator<Item = EventName> {
        let own = self.names.iter().map(|name| EventName { name: name.clone(), registers: false });
        let cancels = self.runs.iter().flat_map(|run| &run.cancels).map(|wait| wait.name.clone());
        let locks = self.runs.iter().flat_map(|run| run.control.locks(&run.function));
        own.chain(cancels.chain(locks).map(|name| EventName { name, registers: true }))
    }
}
