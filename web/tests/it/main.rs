//! The server as clients see it: raw bytes over real loopback sockets, against a fake that takes the deliveries.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a helper of a test fails its test, and may print")]

#[cfg(target_os = "linux")]
mod accept_exhaustion;
mod connections;
mod deadlines;
mod deliveries;
mod framing;
mod harness;
mod health;
mod http2;
mod routes;
mod shutdown;
mod sync;
