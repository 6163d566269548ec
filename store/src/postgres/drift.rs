//! What reads found and no event had told, and stretches of time without events.

use jiff::Timestamp;
use tokio_postgres::Row;

use super::encode::Array;
use super::session::Patience;
use super::transaction::PostgresTransaction;
use super::{Parameters, PostgresStore, column, count, limit, statements};
use crate::{DriftCount, DriftFind, DriftKind, Gap, StoreError, StoredDrift};

impl PostgresStore {
    /// See [`crate::Store::due_drift`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn due_drift(&self, found_before: Timestamp, limit_finds: usize) -> Result<Vec<StoredDrift>, StoreError> {
        let parameters: Parameters<'_> = &[&found_before, &limit(limit_finds)];
        let rows =
            self.query(Patience::Housekeeping, "reading undecided drift", statements::DRIFT_DUE, parameters).await?;
        rows.iter().map(stored_drift).collect()
    }

    /// See [`crate::Store::settle_drift`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn settle_drift(&self, confirmed: &[i64], dismissed: &[i64], now: Timestamp) -> Result<(), StoreError> {
        let parameters: Parameters<'_> = &[&confirmed, &dismissed, &now];
        self.execute(Patience::Housekeeping, "deciding drift", statements::DRIFT_SETTLE, parameters).await?;
        Ok(())
    }

    /// See [`crate::Store::list_drift`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn list_drift(&self, limit_finds: usize) -> Result<Vec<StoredDrift>, StoreError> {
        let rows =
            self.query(Patience::Housekeeping, "listing drift", statements::DRIFT_LIST, &[&limit(limit_finds)]).await?;
        rows.iter().map(stored_drift).collect()
    }

    /// See [`crate::Store::drift_counts`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn drift_counts(&self) -> Result<Vec<DriftCount>, StoreError> {
        let rows = self.query(Patience::Housekeeping, "counting drift", statements::DRIFT_COUNTS, &[]).await?;
        let counted = |row: &Row| {
            Ok(DriftCount {
                object: column(row, 0)?,
                waiting: count(column(row, 1)?),
                confirmed: count(column(row, 2)?),
            })
        };
        rows.iter().map(counted).collect()
    }

    /// See [`crate::Store::prune_drift`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn prune_drift(&self, before: Timestamp, limit_finds: usize) -> Result<u64, StoreError> {
        self.counted("removing old drift", statements::DRIFT_PRUNE, &[&before, &limit(limit_finds)]).await
    }

    /// See [`crate::Store::record_gap`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn record_gap(&self, gap: &Gap) -> Result<(), StoreError> {
        let parameters: Parameters<'_> = &[&gap.from, &gap.to, &gap.recorded_at, &gap.runs];
        self.execute(Patience::Answer, "recording a gap", statements::GAP_RECORD, parameters).await?;
        Ok(())
    }

    /// See [`crate::Store::list_gaps`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn list_gaps(&self, limit_gaps: usize) -> Result<Vec<Gap>, StoreError> {
        let rows =
            self.query(Patience::Housekeeping, "listing gaps", statements::GAPS_LIST, &[&limit(limit_gaps)]).await?;
        let gap = |row: &Row| {
            Ok(Gap { from: column(row, 0)?, to: column(row, 1)?, recorded_at: column(row, 2)?, runs: column(row, 3)? })
        };
        rows.iter().map(gap).collect()
    }
}

/// See [`crate::Transaction::note_drift`].
pub(super) async fn note(transaction: &mut PostgresTransaction, finds: &[DriftFind]) -> Result<(), StoreError> {
    let text = |field: fn(&DriftFind) -> &str| Array::text(finds.iter().map(|find| Some(field(find))));
    let (objects, ids) = (text(|find| &find.object), text(|find| &find.id));
    let (kinds, details) = (text(|find| find.kind.name()), text(|find| &find.detail));
    let previous = Array::bigint(finds.iter().map(|find| find.previous_time));
    let previous_events = text(|find| &find.previous_event);
    let read_at = Array::bigint(finds.iter().map(|find| Some(find.read_at)));
    let found_at = Array::timestamps(finds.iter().map(|find| find.found_at));
    let parameters: Parameters<'_> =
        &[&objects, &ids, &kinds, &details, &previous, &previous_events, &read_at, &found_at];
    transaction.execute("noting drift", statements::DRIFT_NOTE, parameters).await?;
    Ok(())
}

fn stored_drift(row: &Row) -> Result<StoredDrift, StoreError> {
    let kind = DriftKind::from_name(column(row, 3)?)
        .ok_or_else(|| StoreError::Corrupt("billhook.drift holds an unknown kind".to_owned()))?;
    let find = DriftFind {
        object: column(row, 1)?,
        id: column(row, 2)?,
        kind,
        detail: column(row, 4)?,
        previous_time: column(row, 5)?,
        previous_event: column(row, 6)?,
        read_at: column(row, 7)?,
        found_at: column(row, 8)?,
    };
    Ok(StoredDrift { number: column(row, 0)?, find, confirmed_at: column(row, 9)? })
}
