//! Derives every column of a table again from `_raw_data`, beside running traffic.
//!
//! A row is rewritten only while its version is the one that was read, so a delivery that arrives meanwhile wins.

use billhook_core::row::Row;
use billhook_core::table::Table;
use billhook_store::{Store, StoreError, StoredRow, Transaction, Work};
use billhook_stripe::json::sanitise;

use crate::projection::{self, Context};

/// Rows read and rewritten at once.
const BATCH_ROWS: usize = 500;

/// How far a rebuild is, and what it did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Rows read.
    pub scanned: u64,
    /// Rows rewritten. Others changed meanwhile and are newer than what was read.
    pub rewritten: u64,
    /// Rows whose `_raw_data` cannot be projected; they stay as they are.
    pub unreadable: u64,
}

/// Rebuilds one table; `report` hears after each batch.
///
/// # Errors
/// When the database fails. Doing it again starts from the first row and does no harm.
pub async fn rebuild(
    store: &Store,
    table: &'static Table,
    mut report: impl FnMut(Progress),
) -> Result<Progress, StoreError> {
    let mut progress = Progress::default();
    let mut after_id = String::new();
    loop {
        let stored = store.scan_rows(table, &after_id, BATCH_ROWS).await?;
        let Some(last) = stored.last() else { return Ok(progress) };
        after_id = last.id.clone();
        let scanned = stored.len();
        let rows: Vec<Row> = stored.iter().filter_map(|row| project(table, row)).collect();
        progress.scanned += scanned as u64;
        progress.unreadable += (scanned - rows.len()) as u64;
        let ids = rows.iter().map(|row| row.id.clone()).collect();
        progress.rewritten += store.rewrite_rows(table, rows).await?;
        store.transact(Link { table, ids }).await?;
        report(progress);
    }
}

/// Fills the columns that depend on rows of other tables.
struct Link {
    table: &'static Table,
    ids: Vec<String>,
}

impl Work for Link {
    type Output = ();

    async fn run<T: Transaction>(self, transaction: &mut T) -> Result<(), StoreError> {
        transaction.link(self.table, &self.ids).await
    }
}

fn project(table: &'static Table, stored: &StoredRow) -> Option<Row> {
    let sanitised = sanitise(&stored.raw).ok()?;
    let context = Context {
        account: &stored.account,
        version: stored.version,
        source_event: &stored.source_event,
        revives: false,
        deletes: false,
        parent: None,
    };
    let row = projection::project(table, &sanitised.text, &context).ok()?.row;
    (row.id == stored.id).then_some(row)
}
