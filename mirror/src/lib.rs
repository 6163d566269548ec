//! Inbox to rows: the committer, the applier, the ordering law and the projections.

pub mod applier;
mod apply;
mod children;
mod committer;
mod convert;
pub mod endpoints;
pub mod equal;
pub mod housekeeping;
pub mod ingest;
pub mod interpret;
pub mod law;
mod losers;
mod object;
pub mod prisma;
pub mod projection;
pub mod quarantine;
mod queue;
pub mod rebuild;
mod related;
pub mod reread;
pub mod route;
pub mod sync;

pub use applier::{Applier, ApplierOptions};
pub use apply::{ApplyBatch, ApplyOutcome};
pub use ingest::{Ingest, IngestOptions, Receipt, Refusal};
