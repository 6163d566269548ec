//! What all walks of a process share.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use billhook_core::Clock;
use billhook_core::metrics::Metrics;
use billhook_store::{SegmentEnd, Store};
use billhook_stripe::api::Api;
use tokio::sync::{Notify, mpsc, watch};

use super::mode::{ModeError, check_mode, name};
use super::split::Idle;
use super::syncer::SyncOptions;
use super::walk::{Ending, store_ending};
use super::writer::{PageCommit, reason};

/// How long a segment stays with its holder without a sign of life, in seconds: long enough for a slow page and a database that is
/// away for a moment, short enough for somebody else to go on soon after a crash.
pub(super) const LEASE_SECONDS: i64 = 30;

pub(super) struct Shared {
    pub(super) options: SyncOptions,
    pub(super) store: Store,
    pub(super) api: Api,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) writer: mpsc::Sender<PageCommit>,
    pub(super) idle: Idle,
    /// There may be segments to claim.
    pub(super) wake: Notify,
    /// Told when a walk has ended.
    pub(super) ended: Notify,
    /// True while nothing is to be read.
    pub(super) halt: watch::Sender<bool>,
    /// Kinds that open runs read completely.
    pub(super) expected: Mutex<Arc<HashSet<String>>>,
    /// The database's mode, once it is known.
    pub(super) livemode: OnceLock<bool>,
}

impl Shared {
    /// Waits until walks are to end.
    pub(super) async fn halted(&self) {
        let mut halt = self.halt.subscribe();
        // The sender lives as long as this does.
        let _ = halt.wait_for(|halt| *halt).await;
    }

    pub(super) fn is_halted(&self) -> bool {
        *self.halt.borrow()
    }

    pub(super) fn failed(&self, why: &'static str) {
        self.metrics.sync_failures.get_or_create(&reason(why)).inc();
    }

    pub(super) fn expected(&self) -> Arc<HashSet<String>> {
        Arc::clone(&self.expected.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn expect(&self, kinds: HashSet<String>) {
        *self.expected.lock().unwrap_or_else(PoisonError::into_inner) = Arc::new(kinds);
    }

    /// Compares the key's mode with the database's.
    pub(super) async fn check_key(&self) -> Result<(), ModeError> {
        if self.livemode.get().is_some() {
            return Ok(());
        }
        if let Some(livemode) = check_mode(&self.store, self.api.livemode()).await? {
            let _ = self.livemode.set(livemode);
        }
        Ok(())
    }

    /// Compares the mode of objects with the database's, which they decide when nothing has.
    pub(super) async fn accept_mode(&self, livemode: bool) -> Result<(), Ending> {
        if self.livemode.get() == Some(&livemode) {
            return Ok(());
        }
        match check_mode(&self.store, Some(livemode)).await {
            Ok(_) => {
                let _ = self.livemode.set(livemode);
                Ok(())
            }
            Err(ModeError::Mismatch { .. }) => Err(Ending::Closed(
                SegmentEnd::Failed,
                format!(
                    "Stripe answers with {} objects and the database holds {} data; use a key of the same mode, or another database",
                    name(livemode),
                    name(!livemode)
                ),
            )),
            Err(ModeError::Store(error)) => Err(store_ending(&error)),
        }
    }
}
