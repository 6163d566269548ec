//! How a simulator is started.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::clock::ClockMode;

/// Settings of a simulator. `..Options::default()` fills the rest.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where it listens: a loopback address; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The same seed and the same calls give the same ids, the same history and the same faults.
    pub seed: u64,
    /// The account's secret key. Live mode when it begins with `sk_live_`.
    pub key: String,
    /// The account's clock.
    pub clock: ClockMode,
    /// The account's default API version: that of events, and of requests without `Stripe-Version`.
    pub default_version: String,
    /// Rate limits; none by default.
    pub limits: Option<RateLimits>,
    /// How webhooks are delivered.
    pub delivery: DeliveryOptions,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            seed: 1,
            key: "sk_test_simulator".to_owned(),
            clock: ClockMode::Real,
            default_version: billhook_stripe::catalogue::api_version().to_owned(),
            limits: None,
            delivery: DeliveryOptions::default(),
        }
    }
}

/// Requests per second of real time. What is above is answered 429.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimits {
    /// All requests together.
    pub global: u32,
    /// Requests to one endpoint (method and path without ids).
    pub endpoint: u32,
}

/// How webhooks are delivered, in real time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeliveryOptions {
    /// Deliveries to one endpoint at a time. One keeps them in the order of their events.
    pub concurrency: usize,
    /// How long an endpoint may take to answer.
    pub timeout: Duration,
    /// Wait before the first retry; it doubles each time.
    pub retry_first: Duration,
    /// Longest wait between retries.
    pub retry_max: Duration,
    /// Attempts, the first included, after which a delivery is given up.
    pub attempts_max: u32,
}

impl Default for DeliveryOptions {
    /// Sixteen attempts over about three days.
    fn default() -> Self {
        Self {
            concurrency: 1,
            timeout: Duration::from_secs(10),
            retry_first: Duration::from_secs(8),
            retry_max: Duration::from_secs(86_400),
            attempts_max: 16,
        }
    }
}

impl DeliveryOptions {
    /// Retries that a test can wait for: from 20 ms to half a second, 100 attempts.
    pub fn quick() -> Self {
        Self {
            timeout: Duration::from_secs(5),
            retry_first: Duration::from_millis(20),
            retry_max: Duration::from_millis(500),
            attempts_max: 100,
            ..Self::default()
        }
    }
}
