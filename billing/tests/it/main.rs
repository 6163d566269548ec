//! The workflows with the engine, on both stores.
#![expect(clippy::unwrap_used, reason = "tests fail by panicking")]

mod charges;
mod failed;
mod house;
