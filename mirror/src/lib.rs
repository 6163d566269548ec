//! Inbox to rows: the committer, the applier, the ordering law and the projections.

pub mod ingest;
pub mod prisma;

pub use ingest::{Ingest, Receipt, Refusal};
