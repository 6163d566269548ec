//! The runs that this process executes.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// What is executed at the moment: runs with their tokens. Cheap to share.
#[derive(Default)]
pub(super) struct Held {
    runs: Mutex<HashMap<String, i64>>,
    /// Those with which workers died, until they get on: their tokens, and whether they are executed alone.
    suspects: Mutex<HashMap<String, (i64, bool)>>,
    changed: Notify,
}

impl Held {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, i64>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn add(&self, run: String, token: i64) {
        self.lock().insert(run, token);
    }

    /// Forgets a run under this token; a later claim of the same run stays.
    pub(super) fn remove(&self, run: &str, token: i64) {
        let mut runs = self.lock();
        if runs.get(run) == Some(&token) {
            runs.remove(run);
        }
        drop(runs);
        self.got_on(run, token);
        self.changed.notify_waiters();
    }

    /// Adds a run with which workers died.
    pub(super) fn add_suspect(&self, run: String, token: i64, is_alone: bool) {
        self.lock_suspects().insert(run.clone(), (token, is_alone));
        self.add(run, token);
    }

    /// Notes that a run got further than where workers died with it, or that it is gone. Returns whether it was a suspect.
    pub(super) fn got_on(&self, run: &str, token: i64) -> bool {
        let mut suspects = self.lock_suspects();
        suspects.get(run).is_some_and(|suspect| suspect.0 == token) && suspects.remove(run).is_some()
    }

    /// How many suspects there are that are executed alone or not.
    pub(super) fn suspects(&self, is_alone: bool) -> usize {
        self.lock_suspects().values().filter(|suspect| suspect.1 == is_alone).count()
    }

    fn lock_suspects(&self) -> MutexGuard<'_, HashMap<String, (i64, bool)>> {
        self.suspects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_held(&self, run: &str, token: i64) -> bool {
        self.lock().get(run) == Some(&token)
    }

    pub(super) fn len(&self) -> usize {
        self.lock().len()
    }

    pub(super) fn all(&self) -> Vec<(String, i64)> {
        self.lock().iter().map(|(run, token)| (run.clone(), *token)).collect()
    }

    pub(super) fn lose_all(&self) {
        self.lock().clear();
        self.lock_suspects().clear();
        self.changed.notify_waiters();
    }

    /// Waits until something was removed; returns at once when `is_enough` holds.
    pub(super) async fn wait_until(&self, is_enough: impl Fn(usize) -> bool) {
        loop {
            let changed = self.changed.notified();
            if is_enough(self.len()) {
                return;
            }
            changed.await;
        }
    }

    pub(super) async fn empty(&self) {
        self.wait_until(|held| held == 0).await;
    }
}
