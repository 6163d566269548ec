//! The HTTP side: connections, routes, keys, limits, and what faults do to answers.

mod answer;
mod auth;
mod body;
mod control;
mod gzip;
mod respond;
mod router;
pub(crate) mod server;
mod spoil;
mod stream;
pub(crate) mod traffic;
