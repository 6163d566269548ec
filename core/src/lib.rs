//! The ground floor of Billhook: plain types without I/O that every other crate shares.
//!
//! Nothing here opens a file, a socket or a database, and nothing reads the wall clock except [`clock::SystemClock`].

pub mod chance;
pub mod clock;
pub mod failpoint;
pub mod metrics;
pub mod redact;
pub mod retry;
pub mod row;
pub mod run;
pub mod secret;
pub mod step;
pub mod suggest;
pub mod table;
pub mod ulid;

pub use clock::{Clock, ManualClock, SystemClock};
pub use secret::Secret;
