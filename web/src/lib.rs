//! HTTP: the webhook endpoints, reading on request, runs of durable functions, health and metrics, behind a server that bounds everything a client can do to it.
//!
//! [`serve`] runs the server. What it serves stands in one table, [`ROUTES`]; what is not in the table is not served.

mod access;
mod activity;
mod answer;
mod body;
mod connection;
mod connections;
mod flow;
mod health;
mod intake;
mod limits;
mod metrics;
mod reads;
mod routes;
mod server;
mod state;
mod stream;
mod sync;
mod webhook;

pub use intake::EventIntake;
pub use limits::Limits;
pub use reads::{StripeReads, StripeSource};
pub use routes::{Access, METRICS_ROUTES, ROUTES, Route, Verb};
pub use server::{serve, serve_metrics};
pub use state::{Database, Deliveries, State};
pub use sync::{Reads, Single, SyncError, SyncRequest, Synced};
