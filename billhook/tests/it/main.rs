//! The real binary over its real ports, on both databases.

mod crash;
mod inputs;
mod outages;
