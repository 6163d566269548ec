//! What the handlers work on.

use std::future::Future;
use std::sync::Arc;

use billhook_core::metrics::Metrics;
use billhook_core::{Clock, Secret};
use billhook_flow::test_clock::ClockControl;
use billhook_mirror::{Ingest, Receipt, Refusal};
use billhook_store::{SchemaState, Store, StoreError};
use bytes::Bytes;

use crate::Limits;
use crate::body::BodyBudget;
use crate::health::Readiness;
use crate::intake::EventIntake;
use crate::reads::StripeReads;

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

/// What the server serves from. In the program `State` means [`Ingest`], [`Store`] and [`StripeReads`].
#[derive(Clone)]
pub struct State<D = Ingest, S = Store, R = StripeReads> {
    /// Where deliveries go.
    pub ingest: D,
    /// What `/readyz` asks.
    pub store: S,
    /// What `/sync…` asks.
    pub reads: R,
    /// Where the runs are that `/v1` shows; `None` when the server is tested without a database, and then `/v1` answers 503.
    pub flow: Option<Store>,
    /// Where events of the user's go; `None` when there is nowhere.
    pub events: Option<EventIntake>,
    /// What moves the time of functions; `None` where nobody may.
    pub test_clock: Option<ClockControl>,
    /// What whoever sends such events has in the path.
    pub event_key: Option<Secret>,
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
pub(crate) struct Shared<D, S, R> {
    pub(crate) state: State<D, S, R>,
    pub(crate) limits: Limits,
    pub(crate) bodies: BodyBudget,
    pub(crate) readiness: Readiness,
}

impl<D, S, R> Shared<D, S, R> {
    pub(crate) fn new(state: State<D, S, R>, limits: Limits) -> Arc<Self> {
        Arc::new(Self {
            state,
            limits,
            bodies: BodyBudget::new(limits.bodies_bytes_max),
            readiness: Readiness::default(),
        })
    }
}
