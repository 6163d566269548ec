//! What the handlers work on.

use std::future::Future;
use std::sync::Arc;

use billhook_core::metrics::Metrics;
use billhook_core::{Clock, Secret};
use billhook_mirror::{Ingest, Receipt, Refusal};
use billhook_store::{SchemaState, Store, StoreError};
use bytes::Bytes;

use crate::Limits;
use crate::body::BodyBudget;
use crate::health::Readiness;

/// Takes deliveries. A trait so that the server can be tested without a database behind it.
pub trait Deliveries: Send + Sync + 'static {
    /// Verifies one delivery and waits until it is durable. `signature` is `None` when the header is missing or repeated.
    fn receive(&self, signature: Option<&str>, body: Bytes) -> impl Future<Output = Result<Receipt, Refusal>> + Send;

    /// Whether deliveries are accepted at this moment.
    fn is_ready(&self) -> bool;
}

impl Deliveries for Ingest {
    fn receive(&self, signature: Option<&str>, body: Bytes) -> impl Future<Output = Result<Receipt, Refusal>> + Send {
        Ingest::receive(self, signature, body)
    }

    fn is_ready(&self) -> bool {
        Ingest::is_ready(self)
    }
}

/// The database as far as `/readyz` looks at it. A trait for the same reason.
pub trait Database: Send + Sync + 'static {
    /// Asks the database for its schema, which proves both that it answers and what it holds.
    fn schema_state(&self) -> impl Future<Output = Result<SchemaState, StoreError>> + Send;
}

impl Database for Store {
    fn schema_state(&self) -> impl Future<Output = Result<SchemaState, StoreError>> + Send {
        Store::schema_state(self)
    }
}

/// What the server serves from. In the program `State` means [`Ingest`] and [`Store`].
#[derive(Clone)]
pub struct State<D = Ingest, S = Store> {
    /// Where deliveries go.
    pub ingest: D,
    /// What `/readyz` asks.
    pub store: S,
    /// What `/metrics` shows, and where the server counts.
    pub metrics: Arc<Metrics>,
    /// The time in `/health`.
    pub clock: Arc<dyn Clock>,
    /// Key of the routes that need one. Without it, or with an empty one, they answer 401 to everybody.
    pub api_key: Option<Secret>,
    /// Whether `/metrics` is served without the key.
    pub metrics_open: bool,
}

/// A state with what the server itself keeps beside it.
pub(crate) struct Shared<D, S> {
    pub(crate) state: State<D, S>,
    pub(crate) limits: Limits,
    pub(crate) bodies: BodyBudget,
    pub(crate) readiness: Readiness,
}

impl<D, S> Shared<D, S> {
    pub(crate) fn new(state: State<D, S>, limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            state,
            limits,
            bodies: BodyBudget::new(limits.bodies_bytes_max),
            readiness: Readiness::default(),
        })
    }
}
