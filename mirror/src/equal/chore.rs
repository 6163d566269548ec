//! Work that is done again and again while this process is the one that reads from Stripe.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use super::error::EqualError;

/// First and longest pause after a failure, in milliseconds: Stripe's client has tried for minutes already when it gives up, and
/// a database that is back should not wait long.
const RETRY_MS: (u64, u64) = (1_000, 30_000);

/// Something that is done again and again.
pub(super) trait Chore: Send + 'static {
    /// What it is called in the log and in the status.
    const NAME: &'static str;

    /// Does it once; returns how long to wait before the next time. It may be dropped at any point.
    fn turn(&mut self) -> impl Future<Output = Result<Duration, EqualError>> + Send;
}

/// What fails at the moment, by chore.
#[derive(Debug, Default)]
pub(super) struct Failures(Mutex<BTreeMap<&'static str, String>>);

impl Failures {
    /// What fails now, with the reason.
    pub(super) fn list(&self) -> Vec<(&'static str, String)> {
        let failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        failures.iter().map(|(name, reason)| (*name, reason.clone())).collect()
    }

    /// Notes a failure; returns whether it is the first of its series.
    fn failed(&self, name: &'static str, reason: String) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name, reason).is_none()
    }

    /// Notes that it works; returns whether it had failed before.
    fn works(&self, name: &'static str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(name).is_some()
    }
}

/// Whether to work: while `active`, until `stop`.
#[derive(Clone)]
pub(super) struct Signals {
    pub(super) active: watch::Receiver<bool>,
    pub(super) stop: watch::Receiver<bool>,
}

impl Signals {
    /// Waits until there is work for this process; false when it is to end.
    async fn wait_for_work(&mut self) -> bool {
        loop {
            if *self.stop.borrow_and_update() {
                return false;
            }
            if *self.active.borrow_and_update() {
                return true;
            }
            let gone = tokio::select! {
                changed = self.stop.changed() => changed.is_err(),
                changed = self.active.changed() => changed.is_err(),
            };
            if gone {
                return false;
            }
        }
    }

    /// Returns when this process has to stop working.
    async fn interrupted(&mut self) {
        tokio::select! {
            _ = self.stop.wait_for(|stop| *stop) => {}
            _ = self.active.wait_for(|active| !*active) => {}
        }
    }
}

/// Does a chore until it is to end. A failure is logged once and tried again with growing pauses.
pub(super) async fn run<C: Chore>(mut chore: C, mut signals: Signals, failures: Arc<Failures>) {
    let mut retry_ms = RETRY_MS.0;
    while signals.wait_for_work().await {
        let turn = async {
            let pause = match chore.turn().await {
                Ok(pause) => {
                    retry_ms = RETRY_MS.0;
                    if failures.works(C::NAME) {
                        tracing::info!(chore = C::NAME, "works again");
                    }
                    pause
                }
                Err(error) => {
                    if failures.failed(C::NAME, error.to_string()) {
                        tracing::warn!(chore = C::NAME, %error, "failed; it is tried again until it works");
                    }
                    let pause = Duration::from_millis(retry_ms);
                    retry_ms = (retry_ms * 2).min(RETRY_MS.1);
                    pause
                }
            };
            tokio::time::sleep(pause).await;
        };
        tokio::select! {
            () = signals.interrupted() => {}
            () = turn => {}
        }
    }
}
