//! Mirrored rows outside of the applier's transactions: for rebuilding, verifying and counting.

use std::collections::HashMap;

use billhook_core::row::{Rank, Row, Version};
use billhook_core::table::Table;

use super::row_parameters::{RowParameters, check_shape};
use super::session::Patience;
use super::table_sql::Statement;
use super::{PostgresStore, column, count, limit, statements};
use crate::{MirroredObject, StoreError, StoredRow, UnseenRow, UnseenRows};

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
        rows.iter().map(stored_row).collect()
    }

    /// See [`crate::Store::rows`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn rows(&self, table: &'static Table, ids: &[String]) -> Result<Vec<Option<StoredRow>>, StoreError> {
        let sql = self.shared.table_sql(table, Statement::Read)?;
        let rows = self.query(Patience::Housekeeping, "reading rows", &sql, &[&ids]).await?;
        let mut found = HashMap::with_capacity(rows.len());
        for row in &rows {
            let row = stored_row(row)?;
            found.insert(row.id.clone(), row);
        }
        Ok(ids.iter().map(|id| found.remove(id)).collect())
    }

    /// See [`crate::Store::object`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn object(&self, table: &'static Table, id: &str) -> Result<Option<MirroredObject>, StoreError> {
        let sql = self.shared.table_sql(table, Statement::Object)?;
        let rows = self.query(Patience::Answer, "reading an object", &sql, &[&id]).await?;
        let read = |row| Ok(MirroredObject { raw: column(row, 0)?, is_deleted: column(row, 1)? });
        rows.first().map(read).transpose()
    }

    /// See [`crate::Store::text_of`].
    ///
    /// # Errors
    /// When the database is away or too slow, or when it is no column of texts.
    pub async fn text_of(
        &self,
        table: &'static Table,
        position: usize,
        id: &str,
    ) -> Result<Option<String>, StoreError> {
        let sql = self.shared.table_sql(table, Statement::Text { column: position })?;
        let rows = self.query(Patience::Answer, "reading a column", &sql, &[&id]).await?;
        rows.first().map_or(Ok(None), |row| column(row, 0))
    }

    /// See [`crate::Store::unseen_rows`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn unseen_rows(
        &self,
        table: &'static Table,
        version_before: i64,
        after_id: &str,
        limit_rows: usize,
    ) -> Result<UnseenRows, StoreError> {
        let sql = self.shared.table_sql(table, Statement::Age)?;
        let parameters: super::Parameters<'_> = &[&after_id, &limit(limit_rows), &version_before];
        let rows = self.query(Patience::Housekeeping, "looking for unseen rows", &sql, parameters).await?;
        let mut unseen = UnseenRows::default();
        for row in &rows {
            if column(row, 2)? {
                unseen.rows.push(UnseenRow { id: column(row, 0)?, account: column(row, 1)? });
            }
        }
        if rows.len() >= limit_rows {
            unseen.next_after = rows.last().map(|row| column(row, 0)).transpose()?;
        }
        Ok(unseen)
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

/// `id, account, version time and rank, source event, raw` of a result.
fn stored_row(row: &tokio_postgres::Row) -> Result<StoredRow, StoreError> {
    Ok(StoredRow {
        id: column(row, 0)?,
        account: column(row, 1)?,
        version: version(row, 2, 3)?,
        source_event: column(row, 4)?,
        raw: column(row, 5)?,
    })
}

/// A version from two columns of a result.
pub(super) fn version(row: &tokio_postgres::Row, time: usize, rank: usize) -> Result<Version, StoreError> {
    Ok(Version { time: column(row, time)?, rank: Rank::from_stored(column(row, rank)?) })
}
