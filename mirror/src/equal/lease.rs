//! One process at a time reads from Stripe for a database, so that the configured rate holds for all nodes together.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use billhook_core::Clock;
use billhook_store::Store;
use jiff::SignedDuration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The lease's name in the database.
const NAME: &str = "stripe_reader";

/// How long a holder that died keeps others waiting, in seconds: long enough for a database that answers slowly, short enough that
/// nobody notices.
const LEASE_SECONDS: i64 = 10;

/// How often it is taken or renewed, in milliseconds: a third of its time, so that one lost attempt costs nothing.
const RENEW_MS: u64 = 10_000 / 3;

/// Tries to hold the lease for as long as it lives.
pub struct ReaderLease {
    active: watch::Receiver<bool>,
    stopping: watch::Sender<bool>,
    task: Mutex<Option<JoinHandle<()>>>,
}

impl ReaderLease {
    /// Starts taking the lease, and renews it. `holder` names this process and no other.
    pub fn start(store: Store, holder: String, clock: Arc<dyn Clock>) -> Self {
        let (sender, active) = watch::channel(false);
        let (stopping, stop) = watch::channel(false);
        let keeper = Keeper { store, holder, clock, active: sender };
        Self { active, stopping, task: Mutex::new(Some(tokio::spawn(keeper.run(stop)))) }
    }

    /// Whether this process holds the lease, as it changes.
    pub fn active(&self) -> watch::Receiver<bool> {
        self.active.clone()
    }

    /// Gives the lease back, so that another node may go on at once. What works under it has to be stopped before.
    pub async fn stop(&self) {
        let _ = self.stopping.send(true);
        let task = self.task.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        if let Some(task) = task
            && let Err(error) = task.await
        {
            tracing::error!(%error, "the keeper of the lease on reading from Stripe ended abnormally");
        }
    }
}

struct Keeper {
    store: Store,
    holder: String,
    clock: Arc<dyn Clock>,
    active: watch::Sender<bool>,
}

impl Keeper {
    async fn run(self, mut stop: watch::Receiver<bool>) {
        let mut failing = false;
        loop {
            tokio::select! {
                _ = stop.changed() => break,
                () = self.hold(&mut failing) => {}
            }
            tokio::select! {
                _ = stop.changed() => break,
                () = tokio::time::sleep(Duration::from_millis(RENEW_MS)) => {}
            }
        }
        self.active.send_replace(false);
        if let Err(error) = self.store.drop_lease(NAME, &self.holder).await {
            tracing::debug!(%error, "the lease on reading from Stripe could not be given back; it ends by itself");
        }
    }

    /// One attempt. A holder whose renewal does not come through within the lease's time must stop: another may hold it by then.
    async fn hold(&self, failing: &mut bool) {
        let now = self.clock.now();
        let until = now.saturating_add(SignedDuration::from_secs(LEASE_SECONDS)).unwrap_or(jiff::Timestamp::MAX);
        let attempt = self.store.take_lease(NAME, &self.holder, now, until);
        let outcome = tokio::time::timeout(Duration::from_millis(RENEW_MS), attempt).await;
        let held = match outcome {
            Ok(Ok(held)) => {
                *failing = false;
                held
            }
            Ok(Err(error)) => {
                if !std::mem::replace(failing, true) {
                    tracing::warn!(%error, "the lease on reading from Stripe could not be renewed; reading pauses");
                }
                false
            }
            Err(_) => {
                if !std::mem::replace(failing, true) {
                    tracing::warn!(
                        "the database does not renew the lease on reading from Stripe in time; reading pauses"
                    );
                }
                false
            }
        };
        if self.active.send_replace(held) != held {
            tracing::info!(active = held, "reading from Stripe: this process {}", if held { "reads" } else { "waits" });
        }
    }
}
