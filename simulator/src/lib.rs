//! A Stripe account in memory: objects, lists, events, webhook deliveries, faults, and the truth about all of it.
//!
//! For the demo, for tests and for benches. It listens on loopback only and keeps nothing on disk.

pub mod account;
pub mod business;
mod clock;
mod error;
mod faults;
mod fill;
mod http;
mod mutate;
mod options;
mod oracle;
mod params;
mod random;
mod read;
pub mod routes;
mod shared;
mod simulator;
pub mod story;
pub mod versions;
mod webhooks;

pub use account::{Account, Event, Permission, ThinEvent};
pub use clock::ClockMode;
pub use error::ApiError;
pub use faults::{ApiFault, EventFault, Faults, Limit};
pub use http::traffic::RequestRecord;
pub use options::{DeliveryOptions, Options, RateLimits};
pub use oracle::Oracle;
pub use params::{Params, boolean, integer};
pub use random::Random;
pub use simulator::Simulator;
pub use webhooks::{EndpointOptions, Payload};
