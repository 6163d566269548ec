//! Stripe on the wire: signatures, event envelopes, hostile JSON, the catalogue of everything Stripe sends, and the client of
//! its API. Knows no SQL.

pub mod api;
pub mod catalogue;
pub mod envelope;
pub mod json;
pub mod signature;
