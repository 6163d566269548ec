//! Events of the future: they are published when their time comes.

use std::time::Duration;

use billhook_core::failpoint;
use billhook_store::StoreError;
use tokio::sync::watch;

use super::beside::Beside;
use super::route::{self, PublishDue};

/// Events published in one transaction.
const BATCH_MAX: usize = 256;

/// The longest time between two looks, in milliseconds: another node may have scheduled one, and the clock may have been moved.
const LOOK_MS: u64 = 250;

pub(super) struct Scheduled<App>(pub(super) Beside<App>);

impl<App: Send + Sync + 'static> Scheduled<App> {
    pub(super) async fn run(self, mut stop: watch::Receiver<bool>) {
        while !*stop.borrow() {
            let pause = match self.publish().await {
                Ok(pause) => pause,
                Err(error) => {
                    tracing::warn!(%error, "scheduled events could not be published; trying again");
                    Duration::from_millis(LOOK_MS)
                }
            };
            if !pause.is_zero() {
                tokio::select! {
                    biased;
                    () = tokio::time::sleep(pause) => {}
                    () = self.0.scheduled.notified() => {}
                    _ = stop.changed() => {}
                }
            }
        }
    }

    /// Publishes what is due; returns how long to wait before the next look.
    pub(super) async fn publish(&self) -> Result<Duration, StoreError> {
        let now = self.0.clock.now();
        let (due, next) = self.0.store.due_flow_events(now, BATCH_MAX).await?;
        if due.is_empty() {
            let rest = next.map_or(i128::MAX, |next| next.duration_since(now).as_millis());
            return Ok(Duration::from_millis(u64::try_from(rest).unwrap_or(LOOK_MS).clamp(1, LOOK_MS)));
        }
        let publications = due.into_iter().map(|event| route::due(&self.0.functions, event, now)).collect();
        let published = self.0.store.transact(PublishDue { publications, now }).await?;
        failpoint::hit("after_scheduled_commit");
        if published > 0 {
            self.0.wake.notify_one();
        }
        Ok(Duration::ZERO)
    }
}
