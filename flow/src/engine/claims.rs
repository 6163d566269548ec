//! Claims runs that are due, and shows that this process lives.

use std::sync::Arc;
use std::time::Duration;

use billhook_core::{Clock, failpoint};
use billhook_store::{FlowClaim, FlowVersion, Store, StoreError, Suspects, WaitMatcher};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use super::EngineOptions;
use super::held::Held;
use super::hints::Hints;
use super::route::Matcher;
use super::worker::{CRASHES_IN_COMPANY, SUSPECTS_MAX, Workers};
use crate::lanes::{Lanes, Priorities};

/// Runs claimed in one statement: enough to share its commit, few enough to leave some to other nodes.
const CLAIM_MAX: usize = 256;

/// The longest time between two looks, in milliseconds: a hint of another process may have been lost, and the clock may have been moved.
const LOOK_MS: u64 = 250;

/// How long a pause may go unnoticed.
const PAUSES_READ: Duration = Duration::from_millis(500);

/// Signs of life within one lease.
const BEATS: i32 = 3;

/// Seconds between two looks at gates. Whoever leaves one opens it in the same commit; this is for what nobody left.
const SWEEP_SECONDS: u64 = 5;

/// When gates are looked at next, and behind which one.
struct Sweep {
    at: Instant,
    after: String,
}

pub(super) struct Claims {
    pub(super) options: EngineOptions,
    pub(super) functions: Vec<String>,
    /// The versions with which runs begin, and those that execute their own runs and no others.
    pub(super) newest: Vec<FlowVersion>,
    pub(super) pinned: Vec<FlowVersion>,
    /// Of these, those that nobody has paused, as last read.
    pub(super) active: Vec<String>,
    pub(super) paused_read: Option<Instant>,
    /// Gates of the functions, with their places.
    pub(super) places: Vec<(String, u32)>,
    pub(super) lanes: Arc<Lanes>,
    pub(super) priorities: Priorities,
    pub(super) store: Store,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) workers: Workers,
    pub(super) held: Arc<Held>,
    pub(super) wake: Arc<Notify>,
    /// Whether this process may have made runs ready since all was claimed that was there.
    pub(super) has_news: bool,
    pub(super) hints: Hints,
}

impl Claims {
    /// The functions whose runs are claimed: those that nobody has paused.
    async fn refresh(&mut self) {
        if self.paused_read.is_some_and(|read| read.elapsed() < PAUSES_READ) {
            return;
        }
        match self.store.paused_functions().await {
            Ok(paused) => {
                let is_paused = |id: &&String| paused.iter().any(|paused| paused.id == **id);
                self.active = self.functions.iter().filter(|id| !is_paused(id)).cloned().collect();
                self.paused_read = Some(Instant::now());
            }
            Err(error) => tracing::warn!(%error, "which functions are paused could not be read; trying again"),
        }
    }

    pub(super) async fn run(mut self, mut stop: watch::Receiver<bool>) {
        let mut renewed_at = self.clock.now();
        let mut sweep = Sweep { at: Instant::now(), after: String::new() };
        loop {
            // One look at the clock for both: after a jump in between this process would claim what it holds itself.
            let now = self.clock.now();
            let since = now.duration_since(renewed_at);
            // A clock that was set back says nothing of how long ago that was.
            if since >= self.options.lease / BEATS || since.is_negative() {
                renewed_at = now;
                self.renew(now).await;
                continue;
            }
            if *stop.borrow() {
                // What is being executed keeps its lease.
                tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
                continue;
            }
            self.refresh().await;
            if !self.places.is_empty() && Instant::now() >= sweep.at {
                self.sweep(&mut sweep).await;
            }
            let pause = match self.claim(now).await {
                Ok(pause) => pause,
                Err(error) => {
                    tracing::warn!(%error, "runs could not be claimed; trying again");
                    Duration::from_millis(LOOK_MS)
                }
            };
            if pause.is_zero() {
                continue;
            }
            tokio::select! {
                biased;
                () = self.wake.notified() => self.has_news = true,
                // It may also have ended a pause.
                () = self.hints.heard.notified() => self.paused_read = None,
                () = tokio::time::sleep(pause) => {}
                _ = stop.changed() => {}
            }
        }
    }

    /// Claims what there is room for; returns how long to wait before the next look.
    async fn claim(&mut self, now: Timestamp) -> Result<Duration, StoreError> {
        let room = self.options.runs_max.saturating_sub(self.held.len()).min(CLAIM_MAX);
        if room == 0 {
            self.wait_for_place().await;
            return Ok(Duration::ZERO);
        }
        let lease_until = now.saturating_add(self.options.lease).unwrap_or(Timestamp::MAX);
        let (few, alone) = (self.held.suspects(false), self.held.suspects(true));
        let claim = FlowClaim {
            holder: self.options.holder.clone(),
            functions: self.active.clone(),
            newest: self.newest.clone(),
            pinned: self.pinned.clone(),
            now,
            lease_until,
            limit: room,
            over: Matcher.memo(None),
            suspects: Suspects {
                from: CRASHES_IN_COMPANY,
                few: if alone == 0 { SUSPECTS_MAX.saturating_sub(few) } else { 0 },
                alone: usize::from(few + alone == 0),
            },
            places: self.places.clone(),
        };
        let runs = self.store.claim_flow_runs(claim).await?;
        let claimed = runs.len();
        if claimed > 0 {
            failpoint::hit("after_claim");
        }
        for run in runs {
            run.rank.into_iter().for_each(|rank| self.lanes.claimed(rank, self.priorities.milliseconds(&run)));
            if run.crashes >= CRASHES_IN_COMPANY {
                self.held.add_suspect(run.id.clone(), run.token, run.crashes > CRASHES_IN_COMPANY);
            } else {
                self.held.add(run.id.clone(), run.token);
            }
            self.workers.give(run);
        }
        if claimed == room {
            return Ok(Duration::ZERO);
        }
        self.has_news = false;
        let next = self.store.next_flow_due().await?;
        let rest = next.map_or(SignedDuration::MAX, |next| next.duration_since(self.clock.now()));
        // What became due since the claim is held by nobody.
        if next.is_some_and(|next| next > now) && !rest.is_positive() {
            return Ok(Duration::ZERO);
        }
        // A millisecond at least: what is due and was not claimed is held, or nobody here knows its function.
        let rest_ms = u64::try_from(rest.as_millis()).unwrap_or_default().clamp(1, LOOK_MS);
        Ok(Duration::from_millis(if rest.is_positive() { rest_ms } else { LOOK_MS }))
    }

    /// Waits for the end of a run. Others may have a place meanwhile for what this process made ready.
    async fn wait_for_place(&mut self) {
        if std::mem::take(&mut self.has_news) {
            self.hints.tell.notify_one();
        }
        let runs_max = self.options.runs_max;
        tokio::select! {
            biased;
            () = self.held.wait_until(|held| held < runs_max) => {}
            () = self.wake.notified() => self.has_news = true,
            // Not longer than a beat, or the leases of all would end.
            () = tokio::time::sleep(Duration::from_millis(LOOK_MS)) => {}
        }
    }

    /// Lets runs go on that a process left at a gate when it died, or that a raised limit has places for.
    async fn sweep(&self, sweep: &mut Sweep) {
        match self.store.open_flow_gates(&self.places, &sweep.after, self.clock.now()).await {
            Ok(last) => sweep.after = last.unwrap_or_default(),
            Err(error) => tracing::warn!(%error, "gates could not be looked at; trying again"),
        }
        // Not by the functions' clock, which may stand still or go back.
        sweep.at = Instant::now() + Duration::from_secs(SWEEP_SECONDS);
    }

    async fn renew(&self, now: Timestamp) {
        let held = self.held.all();
        if held.is_empty() {
            return;
        }
        let until = now.saturating_add(self.options.lease).unwrap_or(Timestamp::MAX);
        match self.store.renew_flow_runs(&held, until).await {
            Ok(renewed) => {
                for (run, token) in held.iter().filter(|(run, _)| !renewed.contains(run)) {
                    // Ended meanwhile, or somebody else's; its next record tells.
                    self.held.remove(run, *token);
                }
            }
            Err(error) => tracing::warn!(%error, "leases of runs could not be lengthened"),
        }
    }
}
