//! The client of Stripe's API as it is configured, and what of it the commands share.

use std::sync::Arc;

use anyhow::Context as _;
use billhook_core::metrics::Metrics;
use billhook_core::{Clock, SystemClock};
use billhook_stripe::api::{Api, ApiOptions, OnKeyRefused, Rate};

use crate::failure::Hinted;
use crate::settings::configuration::Configuration;

/// The client; `None` when no key is configured.
///
/// # Errors
/// When the key cannot be used or its file not be read.
pub fn client(
    configuration: &Configuration,
    on_key_refused: OnKeyRefused,
    metrics: Arc<Metrics>,
) -> anyhow::Result<Option<Api>> {
    let stripe = &configuration.stripe;
    let Some(key) = stripe.key.clone() else { return Ok(None) };
    let options = ApiOptions {
        version: stripe.api_version.clone(),
        requests_per_second: stripe.requests_per_second.map_or(Rate::Auto, Rate::Max),
        on_key_refused,
        ..ApiOptions::new(stripe.api_base.clone(), key)
    };
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    Api::new(options, clock, metrics).context("set up the client of Stripe's API").map(Some)
}

/// The client of a command that cannot do without: it fails when Stripe refuses the key, since somebody is watching.
///
/// # Errors
/// When no key is configured, or it cannot be used.
pub fn required(configuration: &Configuration, metrics: Arc<Metrics>) -> anyhow::Result<Api> {
    client(configuration, OnKeyRefused::Fail, metrics)?.ok_or_else(|| {
        let hint = "set STRIPE_SECRET_KEY, best to a restricted key (rk_…) that may read";
        Hinted::new("nothing can be read from Stripe without a key", hint).into()
    })
}

/// A name for this process among all that use the database: leases are in it.
pub fn holder() -> String {
    let mut random = [0_u8; 8];
    // Without randomness the process's id still tells it from every other one on this machine.
    let _ = ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut random);
    format!("{}-{:016x}", std::process::id(), u64::from_be_bytes(random))
}
