//! Hints between processes that share a database: that there may be something to do for functions.
//!
//! Whoever made a run ready tells, and engines look at once instead of at their next look. Nothing rests on a hint: any may be lost,
//! late, or for nothing. On SQLite one process executes functions and hears nothing of others.

use crate::Store;

impl Store {
    /// Tells all processes that runs or events of functions may have become due. To be called behind the commit that made them so, never
    /// within it. Calls that come close together become one. A hint that cannot be told is lost, which costs others some of their time.
    pub async fn hint_flow_runs(&self) {
        match self {
            Self::Postgres(driver) => driver.hint_flow_runs().await,
            Self::Sqlite(_) => {}
        }
    }

    /// Calls `heard` after each hint, this process's own included, and whenever hints may have been missed. It goes on until it is dropped,
    /// which closes its connection; on SQLite it ends at once.
    pub async fn hear_flow_hints(&self, heard: impl Fn() + Send + Sync) {
        match self {
            Self::Postgres(driver) => driver.hear_flow_hints(heard).await,
            Self::Sqlite(_) => {}
        }
    }
}
