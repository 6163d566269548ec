//! Staying equal: what events missed is found, told and repaired.

pub mod compare;
mod lease;
mod slices;

pub use lease::ReaderLease;
