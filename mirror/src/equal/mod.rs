//! Staying equal: what events missed is found, told and repaired.

mod catch_up;
mod chore;
pub mod compare;
pub mod drift;
mod error;
mod event_log;
pub(crate) mod finds;
mod gap;
mod health;
mod intake;
mod lag;
mod lease;
mod parts;
mod reader;
pub mod reconcile;
mod shape;
mod slices;
pub mod verify;

pub use catch_up::{CatchUp, Caught};
pub use error::EqualError;
pub use lease::ReaderLease;
pub use parts::Parts;
pub use reader::{Reader, ReaderOptions, ReaderStatus};
