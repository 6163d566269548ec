//! Runs of functions that no process knows any more, because a deploy left them out.
//!
//! One process may know a function that another one does not: every process says now and then what it knows, and only what nobody has
//! known for long is parked. A process that knows the function lets its runs go on.

use std::collections::HashSet;

use billhook_store::{StoreError, StrayRuns};
use jiff::{SignedDuration, Timestamp};

use super::beside::Beside;

/// How often a process says which functions it knows. Small beside [`UNKNOWN_LONGEST`], so that a few failures cost nothing.
const NOTE_EVERY: SignedDuration = SignedDuration::from_mins(1);

/// How long a run is left where it is although no process knows its function: longer than a deploy takes.
const UNKNOWN_LONGEST: SignedDuration = SignedDuration::from_hours(1);

/// Runs handled in one statement.
const BATCH_MAX: usize = 500;

/// What one process does about them.
#[derive(Default)]
pub(super) struct Strays {
    noted_at: Option<Timestamp>,
    /// Functions that were warned about.
    told: HashSet<String>,
}

impl Strays {
    pub(super) async fn look<App>(&mut self, beside: &Beside<App>) -> Result<(), StoreError> {
        let now = beside.clock.now();
        // A clock that was set back says nothing of how long ago that was.
        let is_early = |at: Timestamp| !now.duration_since(at).is_negative() && now.duration_since(at) < NOTE_EVERY;
        if self.noted_at.is_some_and(is_early) {
            return Ok(());
        }
        let known = beside.functions.ids();
        beside.store.note_known_functions(&known, now).await?;
        self.take_in(beside, &known, now).await?;
        // Others that start at the same time, after all were down, come first.
        if self.noted_at.is_some() {
            self.park(beside, known, now).await?;
        }
        self.noted_at = Some(now);
        Ok(())
    }

    async fn take_in<App>(&mut self, beside: &Beside<App>, known: &[String], now: Timestamp) -> Result<(), StoreError> {
        let mut runs = 0;
        loop {
            let taken = beside.store.take_in_flow_runs(known, now, BATCH_MAX).await?;
            runs += taken;
            if taken < BATCH_MAX as u64 {
                break;
            }
        }
        if runs > 0 {
            tracing::info!(runs, "runs go on that were parked until a process knows their functions");
            beside.wake.notify_one();
        }
        Ok(())
    }

    async fn park<App>(&mut self, beside: &Beside<App>, known: Vec<String>, now: Timestamp) -> Result<(), StoreError> {
        let since = now.saturating_sub(UNKNOWN_LONGEST).unwrap_or(Timestamp::MIN);
        let stray = StrayRuns { known, since, now, limit: BATCH_MAX };
        loop {
            let parked = beside.store.park_stray_flow_runs(stray.clone()).await?;
            let runs: u64 = parked.iter().map(|(_, runs)| runs).sum();
            for (function, _) in parked {
                if self.told.insert(function.clone()) {
                    tracing::warn!(
                        function,
                        "no process knows a function that has runs; they are parked and go on when one that knows it starts, \
                         or fail after 30 days; `billhook runs list --state parked` shows them"
                    );
                }
            }
            if runs < BATCH_MAX as u64 {
                return Ok(());
            }
        }
    }
}
