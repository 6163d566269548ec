//! Deliveries on their way in, and the queue of those that wait to be applied.

use std::collections::HashMap;
use std::sync::Arc;

use billhook_core::failpoint;
use jiff::Timestamp;
use tokio_postgres::Row;

use super::encode::{Array, Bodies};
use super::session::{Patience, within_answer};
use super::{PostgresStore, column, count, limit, statements};
use crate::{Backlog, Delivery, StoreError, StoredDelivery};

/// Two nodes that receive the same two events in opposite order can deadlock. The server rolls one of them back, and it finds
/// the other's rows the next time.
const ATTEMPTS_MAX: usize = 3;

impl PostgresStore {
    /// See [`crate::Store::insert_deliveries`].
    ///
    /// # Errors
    /// After [`StoreError::Unavailable`] the outcome is unknown: the deliveries may be stored and must not be acknowledged.
    pub async fn insert_deliveries(&self, deliveries: Arc<[Delivery]>) -> Result<Vec<Option<i64>>, StoreError> {
        if deliveries.is_empty() {
            return Ok(Vec::new());
        }
        let batch = Batch::encode(&deliveries);
        failpoint::hit("before_inbox_commit");
        let rows = within_answer("storing deliveries", self.insert_batch(&batch)).await?;
        failpoint::hit("after_inbox_commit");
        let mut sequences = HashMap::with_capacity(rows.len());
        for row in &rows {
            sequences.insert(column::<&str>(row, 1)?, column::<i64>(row, 0)?);
        }
        // Removing makes the second of two deliveries with one id a duplicate.
        Ok(deliveries.iter().map(|delivery| sequences.remove(delivery.event_id.as_str())).collect())
    }

    async fn insert_batch(&self, batch: &Batch) -> Result<Vec<Row>, StoreError> {
        let parameters = batch.parameters();
        let mut attempt = 1;
        loop {
            match self.query(Patience::Answer, "storing deliveries", statements::DELIVERIES_INSERT, &parameters).await {
                Err(StoreError::Conflict(_)) if attempt < ATTEMPTS_MAX => attempt += 1,
                other => return other,
            }
        }
    }

    /// See [`crate::Store::pending_deliveries`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn pending_deliveries(
        &self,
        received_before: Timestamp,
        excluded: Vec<i64>,
        limit_deliveries: usize,
        bytes_max: usize,
    ) -> Result<Vec<StoredDelivery>, StoreError> {
        // At least one byte, so that there is at least one delivery.
        let bytes_max = limit(bytes_max.max(1));
        let parameters: super::Parameters<'_> = &[&received_before, &limit(limit_deliveries), &bytes_max, &excluded];
        let rows = self
            .query(Patience::Answer, "reading unapplied deliveries", statements::DELIVERIES_PENDING, parameters)
            .await?;
        rows.iter().map(stored_delivery).collect()
    }

    /// See [`crate::Store::backlog`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn backlog(&self) -> Result<Backlog, StoreError> {
        let rows = self.query(Patience::Answer, "reading the backlog", statements::BACKLOG, &[]).await?;
        let Some(row) = rows.first() else { return Ok(Backlog::default()) };
        Ok(Backlog { deliveries: count(column(row, 0)?), oldest_received_at: column(row, 1)? })
    }

    /// See [`crate::Store::replay`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn replay(&self, event_ids: &[String]) -> Result<u64, StoreError> {
        self.counted("putting deliveries back", statements::DELIVERIES_RELEASE, &[&event_ids]).await
    }

    /// See [`crate::Store::prune_deliveries`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn prune_deliveries(&self, before: Timestamp, limit_deliveries: usize) -> Result<u64, StoreError> {
        self.counted("removing old deliveries", statements::DELIVERIES_PRUNE, &[&before, &limit(limit_deliveries)])
            .await
    }

    /// A statement that answers with one number.
    pub(super) async fn counted(
        &self,
        operation: &'static str,
        sql: &str,
        parameters: super::Parameters<'_>,
    ) -> Result<u64, StoreError> {
        let rows = self.query(Patience::Housekeeping, operation, sql, parameters).await?;
        rows.first().map_or(Ok(0), |row| Ok(count(column(row, 0)?)))
    }
}

/// `sequence, event_id, received_at, raw` of a result.
pub(super) fn stored_delivery(row: &Row) -> Result<StoredDelivery, StoreError> {
    Ok(StoredDelivery {
        sequence: column(row, 0)?,
        event_id: column(row, 1)?,
        received_at: column(row, 2)?,
        raw: column::<Vec<u8>>(row, 3)?.into(),
    })
}

/// Encoded deliveries.
struct Batch {
    texts: [Array; 7],
    created: Array,
    livemode: Array,
    received_at: Array,
    secret_index: Array,
    raw: Bodies,
    sha256: Array,
}

impl Batch {
    fn encode(deliveries: &[Delivery]) -> Self {
        let text =
            |field: fn(&Delivery) -> &String| Array::text(deliveries.iter().map(|one| Some(field(one).as_str())));
        Self {
            texts: [
                text(|one| &one.event_id),
                text(|one| &one.event_type),
                text(|one| &one.object),
                text(|one| &one.object_id),
                text(|one| &one.account),
                text(|one| &one.api_version),
                text(|one| &one.snapshot_event),
            ],
            created: Array::bigint(deliveries.iter().map(|one| one.created)),
            livemode: Array::boolean(deliveries.iter().map(|one| one.livemode)),
            received_at: Array::timestamps(deliveries.iter().map(|one| one.received_at)),
            secret_index: Array::smallint(deliveries.iter().map(|one| one.secret_index)),
            raw: Bodies(deliveries.iter().map(|one| one.raw.clone()).collect()),
            sha256: Array::bytea(deliveries.iter().map(|one| &one.sha256[..])),
        }
    }

    fn parameters(&self) -> Vec<&(dyn tokio_postgres::types::ToSql + Sync)> {
        let mut parameters: Vec<&(dyn tokio_postgres::types::ToSql + Sync)> = Vec::with_capacity(13);
        parameters.extend(self.texts.iter().map(|array| array as &(dyn tokio_postgres::types::ToSql + Sync)));
        parameters.push(&self.created);
        parameters.push(&self.livemode);
        parameters.push(&self.received_at);
        parameters.push(&self.secret_index);
        parameters.push(&self.raw);
        parameters.push(&self.sha256);
        parameters
    }
}
