//! Mirrored rows outside of the applier's transactions: for rebuilding, verifying and counting.

use std::collections::HashMap;

use billhook_core::row::{Rank, Row, Version};
use billhook_core::table::Table;

use super::row_parameters::{RowParameters, check_shape};
use super::session::Patience;
use super::table_sql::Statement;
use super::{PostgresStore, column, count, limit, statements};
use crate::{StoreError, StoredRow};

impl PostgresStore {
    /// See [`crate::Store::scan_rows`]. Rows of an older engine, which have no `_raw_data`, are passed over.
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn scan_rows(
        &self,
        table: &'static Table,
        after_id: &str,
        limit_rows: usize,
    ) -> Result<Vec<StoredRow>, StoreError> {
        let sql = self.shared.table_sql(table, Statement::Scan)?;
        let rows = self.query(Patience::Housekeeping, "reading rows", &sql, &[&after_id, &limit(limit_rows)]).await?;
        rows.iter()
            .map(|row| {
                Ok(StoredRow {
                    id: column(row, 0)?,
                    account: column(row, 1)?,
                    version: version(row, 2, 3)?,
                    source_event: column(row, 4)?,
                    raw: column(row, 5)?,
                })
            })
            .collect()
    }

    /// See [`crate::Store::rewrite_rows`].
    ///
    /// # Errors
    /// When the database is away or too slow, or when it collided with an applier.
    pub async fn rewrite_rows(&self, table: &'static Table, rows: Vec<Row>) -> Result<u64, StoreError> {
        if rows.is_empty() {
            return Ok(0);
        }
        check_shape(table, &rows)?;
        let sql = self.shared.table_sql(table, Statement::Rewrite)?;
        let mut sorted: Vec<&Row> = rows.iter().collect();
        sorted.sort_by(|one, other| one.id.cmp(&other.id));
        let parameters = RowParameters::rewrite(table, &sorted);
        self.execute(Patience::Housekeeping, "rewriting rows", &sql, &parameters.as_parameters()).await
    }

    /// See [`crate::Store::row_counts`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn row_counts(&self) -> Result<Vec<(&'static str, u64)>, StoreError> {
        let schema = self.shared.mirror.bare();
        let rows = self.query(Patience::Answer, "counting rows", statements::ROW_COUNTS, &[&schema]).await?;
        let mut counts: HashMap<&str, i64> = HashMap::with_capacity(rows.len());
        for row in &rows {
            counts.insert(column(row, 0)?, column(row, 1)?);
        }
        let of =
            |table: &'static Table| (table.name.as_str(), count(counts.get(table.name.as_str()).copied().unwrap_or(0)));
        Ok(self.shared.tables.iter().map(of).collect())
    }
}

/// A version from two columns of a result.
pub(super) fn version(row: &tokio_postgres::Row, time: usize, rank: usize) -> Result<Version, StoreError> {
    Ok(Version { time: column(row, time)?, rank: Rank::from_stored(column(row, rank)?) })
}
