//! From a signed request to a durable delivery.

use std::sync::Arc;

use billhook_core::metrics::Metrics;
use billhook_core::{Clock, Secret};
use billhook_store::Store;
use bytes::Bytes;

/// Limits and secrets of ingest.
#[derive(Debug, Clone)]
pub struct IngestOptions {
    /// Active webhook secrets; never empty.
    pub secrets: Vec<Secret>,
    /// How far a signature's time may lie from now, in seconds.
    pub tolerance_seconds: i64,
    /// Deliveries that wait for their commit before new ones are refused.
    pub queue_deliveries_max: usize,
    /// Bytes of bodies that wait for their commit before new ones are refused.
    pub queue_bytes_max: usize,
    /// Deliveries in one commit.
    pub batch_deliveries_max: usize,
    /// How long a delivery may wait for its commit before it is answered 503, in milliseconds.
    pub deadline_ms: u64,
    /// Age of the oldest unapplied delivery, in seconds, above which new ones are refused.
    pub lag_seconds_max: u64,
}

/// Why a delivery is answered 200.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receipt {
    /// It is durable.
    Accepted,
    /// It was durable already.
    Duplicate,
}

/// Why a delivery is not answered 200.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// 400.
    BadSignature,
    /// 503: too much waits.
    Overloaded,
    /// 503: the database is away or too slow.
    Unavailable,
}

/// Takes deliveries. Cheap to clone.
#[derive(Clone)]
pub struct Ingest {}

impl Ingest {
    /// Starts the committer.
    pub fn start(_options: IngestOptions, _store: Store, _clock: Arc<dyn Clock>, _metrics: Arc<Metrics>) -> Self {
        todo!()
    }

    /// Verifies one delivery and waits until it is durable. `signature` is `None` when the header is missing or repeated.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub async fn receive(&self, _signature: Option<&str>, _body: Bytes) -> Result<Receipt, Refusal> {
        todo!()
    }

    /// Whether deliveries are accepted at this moment, for `/readyz`.
    pub fn is_ready(&self) -> bool {
        todo!()
    }
}
