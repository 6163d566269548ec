//! The runs that this process executes.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// What is executed at the moment: runs with their tokens. Cheap to share.
#[derive(Default)]
pub(super) struct Held {
    runs: Mutex<HashMap<String, i64>>,
    /// The run that is executed alone among its like, because workers died with it, until it gets on.
    alone: Mutex<Option<(String, i64)>>,
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

    /// Adds a run with which workers died: until it gets on it is the only one.
    pub(super) fn add_alone(&self, run: String, token: i64) {
        *self.lock_alone() = Some((run.clone(), token));
        self.add(run, token);
    }

    /// Notes that a run got further than where workers died with it, or that it is gone. Returns whether it was executed alone.
    pub(super) fn got_on(&self, run: &str, token: i64) -> bool {
        self.lock_alone().take_if(|alone| alone.0 == run && alone.1 == token).is_some()
    }

    /// Whether a run is executed alone.
    pub(super) fn has_alone(&self) -> bool {
        self.lock_alone().is_some()
    }

    fn lock_alone(&self) -> MutexGuard<'_, Option<(String, i64)>> {
        self.alone.lock().unwrap_or_else(PoisonError::into_inner)
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
        *self.lock_alone() = None;
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
