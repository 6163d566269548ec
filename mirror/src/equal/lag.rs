//! How long ago the mirror was known to have every event.

use std::sync::Mutex;

use billhook_core::metrics::Metrics;
use jiff::{SignedDuration, Timestamp};

/// The moment, by our own clock, up to which every event is known to be in the inbox.
#[derive(Debug, Default)]
pub(super) struct Lag(Mutex<Option<Timestamp>>);

impl Lag {
    /// Notes that at `now` every event was there but those of the last `behind_seconds`.
    pub(super) fn note(&self, now: Timestamp, behind_seconds: i64) {
        let complete = now.saturating_sub(SignedDuration::from_secs(behind_seconds.max(0))).unwrap_or(Timestamp::MIN);
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(complete);
    }

    /// The moment, by our own clock, up to which every event is in the inbox; `None` before anything is known.
    pub(super) fn complete(&self) -> Option<Timestamp> {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Shows the lag. What is in the inbox and not applied lags too. Nothing is shown before anything is known.
    pub(super) fn show(&self, metrics: &Metrics, now: Timestamp) {
        if let Some(complete) = self.complete() {
            let lag_seconds = now.duration_since(complete).as_secs_f64().max(0.0);
            metrics.mirror_lag_seconds.set(lag_seconds.max(metrics.backlog_age_seconds.get()));
        }
    }
}
