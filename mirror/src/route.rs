//! From applied events to runs of functions: the seam between the mirror and whoever has functions.

use std::fmt::Debug;

use billhook_store::{EventName, Publication, StoreError, StoredDelivery, Transaction, WaitMatcher};
use billhook_stripe::envelope::Envelope;
use bytes::Bytes;
use jiff::Timestamp;

use crate::interpret::{Interpreted, Meaning};

/// An event of Stripe's that takes effect.
#[derive(Debug, Clone, Copy)]
pub struct AppliedEvent<'a> {
    /// `evt_…`.
    pub id: &'a str,
    /// Stripe's type, e.g. `invoice.paid`.
    pub event_type: &'a str,
    /// When it happened.
    pub created: Timestamp,
    /// The delivery, byte for byte.
    pub raw: &'a [u8],
}

/// Decides what an event starts. It happens in the transaction that writes the event's rows, so that there is neither a row without
/// its run nor a run without its row.
pub trait Router: Debug + Send + Sync {
    /// The names by which events of a type are known.
    fn names(&self, event_type: &str) -> Vec<String>;

    /// What an event starts; nothing when no function names it. It may be asked again for the same event, after a crash or a replay; a
    /// run whose function and dedupe key exist is not started again.
    fn route(&self, event: &AppliedEvent<'_>) -> Option<Publication>;

    /// An event that starts nothing, for runs that wait for it.
    fn shown(&self, event: &AppliedEvent<'_>) -> Publication;

    /// The time of runs: when they start, and when what they wait for came.
    fn now(&self) -> Timestamp;

    /// What decides which event ends which wait.
    fn matcher(&self) -> &dyn WaitMatcher;

    /// Runs were started or woken: somebody may want to claim them at once.
    fn started(&self);
}

/// An event on its way to functions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Routed {
    /// It starts something, or has to be kept.
    Wanted(Publication),
    /// No function names it. A run may wait for it, and only then it is looked at more closely.
    Quiet {
        /// `evt_…`.
        id: String,
        /// Stripe's type.
        event_type: String,
        /// When it happened.
        created: Timestamp,
        /// The delivery, byte for byte.
        raw: Bytes,
    },
}

/// What a delivery means for functions. A thin event means nothing: its snapshot does, and what is set aside has no effect.
pub(crate) fn routed(
    router: &dyn Router,
    delivery: &StoredDelivery,
    envelope: Option<&Envelope>,
    interpreted: &Interpreted,
) -> Option<Routed> {
    if !matches!(interpreted.meaning, Meaning::Change(_) | Meaning::NoRow) {
        return None;
    }
    let parsed = envelope.is_none().then(|| Envelope::parse(&delivery.raw).ok()).flatten();
    let envelope = envelope.or(parsed.as_ref()).filter(|envelope| !envelope.is_thin())?;
    let created = envelope.created.and_then(|created| Timestamp::from_second(created).ok())?;
    let event_type = envelope.event_type.as_deref()?;
    let event = AppliedEvent { id: &delivery.event_id, event_type, created, raw: &delivery.raw };
    Some(router.route(&event).map_or_else(
        || {
            let (id, event_type) = (delivery.event_id.clone(), event_type.to_owned());
            Routed::Quiet { id, event_type, created, raw: delivery.raw.clone() }
        },
        Routed::Wanted,
    ))
}

/// Publishes what was applied; returns how many runs were started, woken or called off.
pub(crate) async fn publish<T: Transaction>(
    transaction: &mut T,
    router: &dyn Router,
    events: Vec<Routed>,
) -> Result<u64, StoreError> {
    let names = events.iter().flat_map(|event| match event {
        Routed::Wanted(publication) => publication.event_names().collect::<Vec<_>>(),
        Routed::Quiet { event_type, .. } => {
            router.names(event_type).into_iter().map(|name| EventName { name, registers: false }).collect()
        }
    });
    let paths = transaction.attend(&names.collect::<Vec<_>>()).await?;
    let publications = events.into_iter().filter_map(|event| match event {
        Routed::Wanted(publication) => Some(publication),
        Routed::Quiet { id, event_type, created, raw } => {
            let names = router.names(&event_type);
            let event = AppliedEvent { id: &id, event_type: &event_type, created, raw: &raw };
            paths.iter().any(|(waited, _)| names.contains(waited)).then(|| router.shown(&event))
        }
    });
    let publications: Vec<Publication> = publications.collect();
    if publications.is_empty() {
        return Ok(0);
    }
    let published = transaction.publish(&publications, &paths, router.matcher(), router.now()).await?;
    let moved = published
        .iter()
        .map(|one| one.started.iter().filter(|is_new| **is_new).count() + one.woken.len() + one.cancelled.len());
    Ok(moved.sum::<usize>() as u64)
}
