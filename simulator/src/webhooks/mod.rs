//! Webhook endpoints: their management, and the deliveries to them.

mod api;
mod client;
mod endpoint;
mod queue;
pub(crate) mod sender;
mod sign;

pub(crate) use api::ROUTES;
pub(crate) use endpoint::Endpoints;
pub use endpoint::{EndpointOptions, Payload};
pub(crate) use queue::{Queue, Which};
