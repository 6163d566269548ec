//! The real binary over its real ports, on both databases.

mod cli;
mod config;
mod inputs;
mod outages;
