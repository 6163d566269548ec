//! A Stripe account in memory: objects, lists, events, webhook deliveries, faults, and the truth about all of it.
//!
//! For the demo, for tests and for benches. It listens on loopback only and keeps nothing on disk.

pub mod account;
pub mod business;
mod clock;
mod error;
mod options;
mod params;
mod random;
pub mod routes;
pub mod versions;

pub use account::Account;
pub use clock::ClockMode;
pub use error::ApiError;
pub use options::{DeliveryOptions, Options, RateLimits};
pub use params::{Params, boolean, integer};
pub use random::Random;
