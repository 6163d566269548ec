//! What nobody asks for: runs whose time is over expire, what is parked for long fails, what is old goes. Any node may do it.

use std::time::Duration;

use billhook_core::run::RunState;
use billhook_store::{EventName, FlowRetention, ParkedRun, Publication, RunNext, StoreError, Transaction, Work};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

use super::beside::Beside;
use super::ends::Ended;
use super::route::Matcher;

/// Runs handled at once.
const BATCH_MAX: usize = 500;

/// How often times are looked at, in milliseconds.
const LOOK_MS: u64 = 500;

/// How often old rows are removed, in looks: every five minutes.
const PRUNE_EVERY: u64 = 600;

/// How long a run may be parked before it fails.
const PARKED_LONGEST: SignedDuration = SignedDuration::from_hours(30 * 24);

/// How long runs and events are kept: an event delivered again within this time starts nothing twice. Stripe's list of events goes back
/// 30 days.
const RUNS_KEPT: SignedDuration = SignedDuration::from_hours(35 * 24);

/// How long runs that failed are kept.
const FAILED_KEPT: SignedDuration = SignedDuration::from_hours(90 * 24);

pub(super) struct Upkeep<App>(pub(super) Beside<App>);

impl<App: Send + Sync + 'static> Upkeep<App> {
    pub(super) async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut looks: u64 = 0;
        while !*stop.borrow() {
            if let Err(error) = self.look(looks).await {
                tracing::warn!(%error, "the upkeep of runs failed; trying again");
            }
            looks = looks.wrapping_add(1);
            tokio::select! {
                biased;
                () = tokio::time::sleep(Duration::from_millis(LOOK_MS)) => {}
                _ = stop.changed() => {}
            }
        }
    }

    async fn look(&self, looks: u64) -> Result<(), StoreError> {
        let now = self.0.clock.now();
        let before = |age: SignedDuration| now.saturating_sub(age).unwrap_or(Timestamp::MIN);
        for run in self.0.store.expire_flow_runs(now, BATCH_MAX).await? {
            tracing::warn!(run, "a run expired");
        }
        for parked in self.0.store.parked_flow_runs(before(PARKED_LONGEST), BATCH_MAX).await? {
            self.fail(parked, now).await?;
        }
        if looks.is_multiple_of(PRUNE_EVERY) {
            let (runs_before, failed_before) = (before(RUNS_KEPT), before(FAILED_KEPT));
            let retention = FlowRetention { runs_before, failed_before, events_before: runs_before };
            while self.0.store.prune_flow(retention, BATCH_MAX).await? >= BATCH_MAX as u64 {}
        }
        Ok(())
    }

    async fn fail(&self, parked: ParkedRun, now: Timestamp) -> Result<(), StoreError> {
        let ParkedRun { id: run, function, message, event } = parked;
        let message = Some(format!("parked: {message}"));
        let next = RunNext { state: RunState::Failed, due_at: None, failures: 0, result: None, message };
        let ended = Ended { run: &run, function: &function, event: &event, token: 0 };
        let publications = ended.told(&self.0.functions, &next, now);
        if self.0.store.transact(FailParked { run, publications, now }).await? {
            self.0.wake.notify_one();
        }
        Ok(())
    }
}

/// Fails a parked run, and tells of it.
struct FailParked {
    run: String,
    publications: Vec<Publication>,
    now: Timestamp,
}

impl Work for FailParked {
    type Output = bool;

    async fn run<T: Transaction>(self, transaction: &mut T) -> Result<bool, StoreError> {
        let names: Vec<EventName> = self.publications.iter().flat_map(Publication::event_names).collect();
        let paths = transaction.attend(&names).await?;
        if !transaction.fail_parked_flow_run(&self.run, self.now).await? {
            return Ok(false);
        }
        transaction.publish(&self.publications, &paths, &Matcher, self.now).await?;
        Ok(true)
    }
}
