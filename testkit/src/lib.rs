//! What tests and benches need from outside: throw-away PostgreSQL clusters, the real program as a process, signed
//! deliveries, a small HTTP client, a TCP proxy that breaks connections, and SQL for assertions.
//!
//! Never a dependency of what ships. Everything here is blocking and may be called from any thread, also from inside an
//! asynchronous runtime when a blocked thread does no harm there.
#![expect(clippy::print_stderr, reason = "a failing test shows the log of the program it started")]

pub mod client;
pub mod database;
mod durable;
pub mod events;
pub mod metrics;
pub mod postgres;
pub mod process;
pub mod proxy;
pub mod random;
pub mod server;
pub mod sign;
pub mod skip;
pub mod sql;
pub mod tmpfs;
pub mod wait;
mod watchdog;

pub use client::{Client, Response};
pub use database::TestDatabase;
pub use durable::DurableDatabase;
pub use events::Event;
pub use server::{Server, ServerSettings};
pub use sign::sign;
