//! What everything that reads from Stripe works with.

use std::sync::Arc;

use billhook_core::Clock;
use billhook_core::metrics::Metrics;
use billhook_store::Store;
use billhook_stripe::api::Api;

use crate::applier::Applier;

/// What everything that reads from Stripe works with. Cheap to clone.
#[derive(Clone)]
pub struct Parts {
    /// The mirror's database.
    pub store: Store,
    /// Stripe.
    pub api: Api,
    /// Takes the events that were read.
    pub applier: Applier,
    /// Our clock. What is compared with Stripe's events goes by Stripe's clock instead.
    pub clock: Arc<dyn Clock>,
    /// Where it is counted.
    pub metrics: Arc<Metrics>,
}
