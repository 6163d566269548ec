//! What nobody asks for: runs whose time is over expire, what is parked for long fails, what is old goes. Any node may do it.

use std::time::Duration;

use billhook_core::run::RunState;
use billhook_store::{
    EndedRun, EventName, FlowRetention, ParkedRun, Publication, RunNext, StoreError, Transaction, Work,
};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

use super::beside::Beside;
use super::ends::Ended;
use super::route::Matcher;
use super::strays::Strays;

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
        let (mut looks, mut strays): (u64, Strays) = Default::default();
        while !*stop.borrow() {
            if let Err(error) = self.look(looks).await {
                tracing::warn!(%error, "the upkeep of runs failed; trying again");
            }
            if let Err(error) = strays.look(&self.0).await {
                tracing::warn!(%error, "runs of unknown functions could not be looked for; trying again");
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
        self.end(now).await?;
        if looks.is_multiple_of(PRUNE_EVERY) {
            let (runs_before, failed_before) = (before(RUNS_KEPT), before(FAILED_KEPT));
            let retention = FlowRetention { runs_before, failed_before, events_before: runs_before };
            while self.0.store.prune_flow(retention, BATCH_MAX).await? >= BATCH_MAX as u64 {}
        }
        Ok(())
    }

    /// Ends what has its time behind it, and tells of what ended; returns whether there was anything.
    pub(super) async fn end(&self, now: Timestamp) -> Result<bool, StoreError> {
        let expired = self.0.store.expire_flow_runs(now, BATCH_MAX).await?;
        for run in &expired {
            tracing::warn!(run, "a run expired");
        }
        let has_told = self.tell_ended(now).await?;
        let since = now.saturating_sub(PARKED_LONGEST).unwrap_or(Timestamp::MIN);
        let parked = self.0.store.parked_flow_runs(since, BATCH_MAX).await?;
        let has_parked = !parked.is_empty();
        for parked in parked {
            self.fail(parked, now).await?;
        }
        Ok(has_told || has_parked || !expired.is_empty())
    }

    /// Tells whoever invoked them of runs that ended without their function.
    async fn tell_ended(&self, now: Timestamp) -> Result<bool, StoreError> {
        let ended = self.0.store.ended_flow_runs(BATCH_MAX).await?;
        if ended.is_empty() {
            return Ok(false);
        }
        let told = |ended: EndedRun| {
            let EndedRun { id, function, token, state, result, message, event } = ended;
            let next = RunNext { state, due_at: None, failures: 0, result, message };
            let ended = Ended { run: &id, function: &function, event: &event, token };
            let publications = ended.told(&self.0.functions, &next, now);
            (id, publications)
        };
        if self.0.store.transact(TellEnded { ended: ended.into_iter().map(told).collect(), now }).await? {
            self.0.wake.notify_one();
        }
        Ok(true)
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

/// Tells of runs that ended without their function, those of which nobody has told; returns whether somebody was told.
struct TellEnded {
    ended: Vec<(String, Vec<Publication>)>,
    now: Timestamp,
}

impl Work for TellEnded {
    type Output = bool;

    async fn run<T: Transaction>(self, transaction: &mut T) -> Result<bool, StoreError> {
        let names: Vec<EventName> =
            self.ended.iter().flat_map(|(_, told)| told).flat_map(Publication::event_names).collect();
        let paths = transaction.attend(&names).await?;
        let runs: Vec<String> = self.ended.iter().map(|(run, _)| run.clone()).collect();
        let taken = transaction.take_ended_flow_runs(&runs).await?;
        let told = self.ended.into_iter().filter(|(run, _)| taken.contains(run));
        let publications: Vec<Publication> = told.flat_map(|(_, publications)| publications).collect();
        let published = transaction.publish(&publications, &paths, &Matcher, self.now).await?;
        Ok(!published.is_empty())
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
