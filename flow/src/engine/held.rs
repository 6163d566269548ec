//! The runs that this process executes.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// What is executed at the moment: runs with their tokens. Cheap to share.
#[derive(Default)]
pub(super) struct Held {
    runs: Mutex<HashMap<String, i64>>,
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
        self.changed.notify_waiters();
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
