//! The real binary over its real ports, on both databases.

mod inputs;
mod outages;
