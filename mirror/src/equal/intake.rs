//! Events that were read go the way of those that were delivered: into the inbox, then to the applier.

use std::sync::Arc;
use std::time::Duration;

use billhook_core::metrics::Outcome;
use billhook_store::Delivery;
use billhook_stripe::envelope::Envelope;
use bytes::Bytes;
use tokio::sync::mpsc;

use super::error::EqualError;
use super::parts::Parts;
use crate::applier::Committed;
use crate::ingest::{NOBODY_SIGNED, delivery};

/// Events in one commit. A commit costs about as much as a page of events takes to arrive, so waiting pages share one.
const BATCH_EVENTS_MAX: usize = 500;

/// Unapplied deliveries above which reading waits for the applier: what webhooks deliver meanwhile goes first, and the applier's
/// memory holds about as many.
const BACKLOG_DELIVERIES_MAX: u64 = 10_000;

/// New events between two looks at the backlog.
const BACKLOG_EVERY_EVENTS: u64 = 2_000;

/// Pause between two looks at a backlog that is too long, in milliseconds.
const BACKLOG_PAUSE_MS: u64 = 100;

/// Alerts of Stripe's that are remembered from one pass; they are rare, and one is enough to read everything again.
const ALERTS_MAX: usize = 100;

/// Stripe says that it failed to make events, which no list and no delivery will ever show.
pub(super) const EVENTS_FAILED: &str = "v2.core.health.event_generation_failure.resolved";

/// What became of the events of one slice.
#[derive(Debug, Default)]
pub(super) struct Taken {
    /// Events that the lists showed.
    pub(super) read: u64,
    /// Of these, those that the inbox did not have.
    pub(super) new: u64,
    /// Events of type [`EVENTS_FAILED`], as they came.
    pub(super) alerts: Vec<Bytes>,
}

/// Takes pages until there are no more.
pub(super) async fn take(parts: &Parts, mut pages: mpsc::Receiver<Vec<Bytes>>) -> Result<Taken, EqualError> {
    let mut taken = Taken::default();
    let mut unlooked = 0;
    while let Some(mut events) = pages.recv().await {
        while events.len() < BATCH_EVENTS_MAX
            && let Ok(more) = pages.try_recv()
        {
            events.extend(more);
        }
        let new = store(parts, events, &mut taken).await?;
        unlooked += new;
        if unlooked >= BACKLOG_EVERY_EVENTS {
            unlooked = 0;
            wait_for_applier(parts).await?;
        }
    }
    Ok(taken)
}

/// Writes events into the inbox, hands the new ones to the applier, and returns how many these are.
async fn store(parts: &Parts, events: Vec<Bytes>, taken: &mut Taken) -> Result<u64, EqualError> {
    let now = parts.clock.now();
    taken.read += events.len() as u64;
    let mut deliveries = Vec::with_capacity(events.len());
    let mut envelopes = Vec::with_capacity(events.len());
    for event in events {
        let envelope = Envelope::parse(&event).ok();
        if envelope.as_ref().is_some_and(|envelope| envelope.event_type.as_deref() == Some(EVENTS_FAILED))
            && taken.alerts.len() < ALERTS_MAX
        {
            taken.alerts.push(event.clone());
        }
        if envelope.as_ref().is_some_and(has_twin) {
            continue;
        }
        deliveries.push(delivery(event, envelope.as_ref(), now, NOBODY_SIGNED));
        envelopes.push(envelope);
    }
    let deliveries: Arc<[Delivery]> = deliveries.into();
    let sequences = parts.store.insert_deliveries(Arc::clone(&deliveries)).await?;
    let mut committed = Vec::new();
    for ((delivery, envelope), sequence) in deliveries.iter().zip(envelopes).zip(sequences) {
        if let Some(sequence) = sequence {
            committed.push(Committed::new(delivery, sequence, envelope));
        }
    }
    let new = committed.len() as u64;
    count(parts, "new", new);
    count(parts, "known", deliveries.len() as u64 - new);
    taken.new += new;
    parts.applier.hand_over(committed);
    Ok(new)
}

/// A thin event whose snapshot event stands in the other list: that one brings the object along, and a second notice of the same
/// change would only cost a read. A delivered thin event is kept as it came; this is about those nobody delivered.
fn has_twin(envelope: &Envelope) -> bool {
    envelope.is_thin() && envelope.snapshot_event.is_some()
}

fn count(parts: &Parts, outcome: &'static str, events: u64) {
    if events > 0 {
        parts.metrics.catch_up_events.get_or_create(&Outcome { outcome }).inc_by(events);
    }
}

/// Waits while too much is unapplied.
async fn wait_for_applier(parts: &Parts) -> Result<(), EqualError> {
    let mut told = false;
    loop {
        let backlog = parts.store.backlog().await?.deliveries;
        if backlog <= BACKLOG_DELIVERIES_MAX {
            return Ok(());
        }
        if !std::mem::replace(&mut told, true) {
            tracing::debug!(backlog, "reading events waits until fewer deliveries are unapplied");
        }
        tokio::time::sleep(Duration::from_millis(BACKLOG_PAUSE_MS)).await;
    }
}
