//! Versions that execute their own runs and no others: which of them there are, and the runs whose version nobody has.

use std::time::Duration;

use billhook_store::{MissingVersions, StoreError};
use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;

use super::beside::Beside;

/// How long a run waits for a process that has its version, and how long one that had it counts as there. A deploy that replaces servers
/// one after the other takes minutes.
const VERSION_PATIENCE: SignedDuration = SignedDuration::from_mins(15);

/// How often a process says which versions it has: so often that it may miss some times.
const NOTE_EVERY: SignedDuration = SignedDuration::from_mins(1);

/// How often runs without a version are looked for, in milliseconds.
const LOOK_MS: u64 = 500;

/// Runs parked at once.
const BATCH_MAX: usize = 500;

/// Why a run is parked; the store knows the version.
const MESSAGE: &str = "needs version \"{version}\": the run began with it, and for 15 minutes no server has had it. Start a server that has it \
                       and retry the run, or cancel it";

pub(super) struct Pinned<App>(pub(super) Beside<App>);

impl<App: Send + Sync + 'static> Pinned<App> {
    pub(super) async fn run(self, mut stop: watch::Receiver<bool>) {
        if self.0.functions.pinned_versions().is_empty() {
            return;
        }
        let began = self.0.clock.now();
        let mut noted = None;
        while !*stop.borrow() {
            if let Err(error) = self.look(began, &mut noted).await {
                tracing::warn!(%error, "versions of functions could not be compared with those of runs; trying again");
            }
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(LOOK_MS)) => {}
                _ = stop.changed() => {}
            }
        }
    }

    /// Notes the versions of this process when it is time, and parks what waits for another one in vain.
    async fn look(&self, began: Timestamp, noted: &mut Option<Timestamp>) -> Result<(), StoreError> {
        let Beside { functions, store, clock, .. } = &self.0;
        let (now, versions) = (clock.now(), functions.pinned_versions());
        // A clock that was set back says nothing of how long ago that was.
        if noted.is_none_or(|noted| now < noted || now.duration_since(noted) >= NOTE_EVERY) {
            store.note_flow_versions(&versions, now).await?;
            *noted = Some(now);
        }
        // After a time in which nobody was there, others may be about to start as well.
        if now.duration_since(began) < VERSION_PATIENCE {
            return Ok(());
        }
        let since = now.saturating_sub(VERSION_PATIENCE).unwrap_or(Timestamp::MIN);
        let mut pinned: Vec<String> = versions.into_iter().map(|one| one.function).collect();
        pinned.dedup();
        let missing = MissingVersions { functions: pinned, since, message: MESSAGE.to_owned(), limit: BATCH_MAX };
        for run in store.park_missing_versions(&missing, now).await? {
            tracing::warn!(run, "a run is parked: no server has the version with which it began");
        }
        Ok(())
    }
}
