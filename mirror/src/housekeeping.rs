//! What runs beside ingest: measuring the backlog, counting rows, removing deliveries past their retention.

use std::sync::Arc;
use std::time::Duration;

use billhook_core::Clock;
use billhook_core::metrics::{Metrics, TableName};
use billhook_store::{Store, StoreError};
use jiff::{SignedDuration, Timestamp};

use crate::ingest::Ingest;

/// Times of housekeeping.
#[derive(Debug, Clone)]
pub struct HousekeepingOptions {
    /// How long applied deliveries, finished runs of reading and drift are kept, in days. Stripe can be asked for events of the last 30 days, and repeats a
    /// delivery for 3: less than 33 would let an event take effect twice.
    pub retention_days: u32,
}

/// How often the backlog is measured, in milliseconds.
const BACKLOG_INTERVAL_MS: u64 = 1_000;

/// Measurements between two rounds of counting rows and removing deliveries: one minute.
const SLOW_EVERY: u64 = 60;

/// Deliveries removed at once, so that the writer is never blocked for long.
const PRUNE_DELIVERIES_MAX: usize = 500;

/// Batches removed in one round.
const PRUNE_BATCHES_MAX: usize = 20;

/// Runs until the future is dropped.
pub async fn run(
    options: HousekeepingOptions,
    store: Store,
    ingest: Ingest,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
) {
    for round in 0_u64.. {
        if let Err(error) = backlog(&store, &ingest, clock.now(), &metrics).await {
            tracing::debug!(%error, "the backlog could not be measured");
        }
        if round % SLOW_EVERY == 0
            && let Err(error) = slow_round(&options, &store, clock.now(), &metrics).await
        {
            tracing::warn!(%error, "housekeeping failed and is tried again in a minute");
        }
        tokio::time::sleep(Duration::from_millis(BACKLOG_INTERVAL_MS)).await;
    }
}

async fn backlog(store: &Store, ingest: &Ingest, now: Timestamp, metrics: &Metrics) -> Result<(), StoreError> {
    let backlog = store.backlog().await?;
    let age_seconds =
        backlog.oldest_received_at.map_or(0.0, |oldest| now.duration_since(oldest).as_secs_f64().max(0.0));
    metrics.backlog_deliveries.set(i64::try_from(backlog.deliveries).unwrap_or(i64::MAX));
    metrics.backlog_age_seconds.set(age_seconds);
    ingest.set_backlog_age(age_seconds);
    Ok(())
}

async fn slow_round(
    options: &HousekeepingOptions,
    store: &Store,
    now: Timestamp,
    metrics: &Metrics,
) -> Result<(), StoreError> {
    for (table, rows) in store.row_counts().await? {
        metrics.rows.get_or_create(&TableName { table }).set(i64::try_from(rows).unwrap_or(i64::MAX));
    }
    let age = SignedDuration::from_hours(24 * i64::from(options.retention_days));
    let before = now.saturating_sub(age).unwrap_or(Timestamp::MIN);
    store.prune_runs(before, PRUNE_DELIVERIES_MAX).await?;
    store.prune_drift(before, PRUNE_DELIVERIES_MAX).await?;
    for _ in 0..PRUNE_BATCHES_MAX {
        if store.prune_deliveries(before, PRUNE_DELIVERIES_MAX).await? < PRUNE_DELIVERIES_MAX as u64 {
            break;
        }
    }
    Ok(())
}
