//! Reading Stripe's lists into rows: runs, their segments, and the workers that walk them.
//!
//! A *run* reads one kind and one window of `created`. It consists of *segments*, each a part of one list with a cursor that is
//! committed together with the rows of its pages; whoever holds a segment's lease walks it, on any node, from where it stands.

mod complete;
mod fetch;
mod guard;
mod listing;
mod mode;
pub mod names;
mod page;
mod parents;
mod request;
mod rules;
pub mod runs;
mod shared;
pub mod single;
mod source;
mod split;
pub mod streams;
mod syncer;
mod walk;
mod window;
mod writer;

pub(crate) use fetch::NoPage;
pub(crate) use listing::Listing;
pub use mode::{ModeError, check_mode};
pub use source::{ApiSource, SourceOptions};
pub use syncer::{SyncOptions, Syncer};
pub use window::{CreatedFilter, Window};
