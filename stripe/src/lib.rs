//! Stripe on the wire: signatures, event envelopes, hostile JSON, and the catalogue of everything Stripe sends. Knows no SQL.

pub mod catalogue;
pub mod envelope;
pub mod json;
pub mod signature;
