//! The real binary over its real ports, on both databases.

mod billing;
mod cli;
mod config;
mod crash;
mod inputs;
mod outages;
mod reading;
mod runs;
mod versions;
