//! Tests of what the crate promises about hostile and recorded input.

mod envelope;
mod mutation;
mod properties;
mod recorded;
mod sanitise;
mod signature;
