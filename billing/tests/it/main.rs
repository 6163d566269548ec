//! The workflows with the engine, on both stores.

mod charges;
mod failed;
mod house;
