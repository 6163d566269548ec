//! From applied events to runs of functions: the seam between the mirror and whoever has functions.

use std::fmt::Debug;

use billhook_store::{NewFlowRun, StoredDelivery};
use billhook_stripe::envelope::Envelope;
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

/// Decides which runs an event starts. They are written in the transaction that writes the event's rows, so that there is neither a row
/// without its run nor a run without its row.
pub trait Router: Debug + Send + Sync {
    /// The runs that an event starts. It may be asked again for the same event, after a crash or a replay; a run whose function and
    /// dedupe key exist is not started again.
    fn route(&self, event: &AppliedEvent<'_>) -> Vec<NewFlowRun>;

    /// So many runs were committed: somebody may want to claim them at once.
    fn started(&self, runs: u64);
}

/// The runs that a delivery starts. A thin event starts none: its snapshot does, and what is set aside has no effect.
pub(crate) fn runs(
    router: &dyn Router,
    delivery: &StoredDelivery,
    envelope: Option<&Envelope>,
    interpreted: &Interpreted,
) -> Vec<NewFlowRun> {
    if !matches!(interpreted.meaning, Meaning::Change(_) | Meaning::NoRow) {
        return Vec::new();
    }
    let parsed = envelope.is_none().then(|| Envelope::parse(&delivery.raw).ok()).flatten();
    let Some(envelope) = envelope.or(parsed.as_ref()).filter(|envelope| !envelope.is_thin()) else { return Vec::new() };
    let created = envelope.created.and_then(|created| Timestamp::from_second(created).ok());
    let (Some(event_type), Some(created)) = (envelope.event_type.as_deref(), created) else { return Vec::new() };
    router.route(&AppliedEvent { id: &delivery.event_id, event_type, created, raw: &delivery.raw })
}
