//! Functions as a user writes them, in memory and on both stores.
#![expect(
    clippy::unwrap_used,
    clippy::unit_arg,
    reason = "tests fail by panicking, and steps here only note that they ran"
)]

mod control;
mod database;
mod engine;
mod exchange;
mod steering;
mod steps;
mod tx_step;
mod waits;

use std::sync::{Arc, Mutex};

use billhook_flow::Call;
use billhook_testkit::wait;

use self::database::PATIENCE;

/// What steps did to the world: an observer outside of the run.
#[derive(Clone, Default)]
pub struct World(Arc<Mutex<Vec<String>>>);

impl World {
    /// Something happened.
    pub fn note(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push(what.into());
    }

    /// Something happened under an idempotency key.
    pub fn call(&self, what: &str, call: &Call) {
        self.note(format!("{what} {}", call.idempotency_key()));
    }

    /// All that happened.
    pub fn seen(&self) -> Vec<String> {
        self.0.lock().unwrap().clone()
    }

    /// Waits until something has happened so often.
    pub async fn until(&self, what: &str, times: usize) {
        let happened = async || (self.count(what) >= times).then_some(());
        let waited = wait::until_async(what, PATIENCE, happened).await;
        assert!(waited.is_ok(), "{what} did not happen {times} times: {:?}", self.seen());
    }

    /// How often this happened.
    pub fn count(&self, what: &str) -> usize {
        self.seen().iter().filter(|seen| seen.as_str() == what || seen.starts_with(&format!("{what} "))).count()
    }
}
