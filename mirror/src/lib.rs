//! Inbox to rows: the committer, the applier, the ordering law and the projections.

pub mod ingest;

pub use ingest::{Ingest, Receipt, Refusal};
