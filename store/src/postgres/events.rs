//! Looking at deliveries: lists, one with its body, the quarantine.

use tokio_postgres::Row;

use super::encode::Array;
use super::session::Patience;
use super::{PostgresStore, column, count, limit, statements};
use crate::{DirtyMark, EventDetail, EventFilter, EventState, EventSummary, QuarantineSummary, StoreError};
use jiff::Timestamp;

/// SHA-256 of a body whose stored hash has another length, which only a hand could have written.
const NO_HASH: [u8; 32] = [0; 32];

impl PostgresStore {
    /// See [`crate::Store::list_events`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn list_events(&self, filter: EventFilter) -> Result<Vec<EventSummary>, StoreError> {
        let limit = limit(filter.limit);
        let operation = "listing events";
        let rows = match &filter.object_id {
            Some(object) => {
                let parameters: super::Parameters<'_> = &[&filter.event_type, &filter.before_sequence, &limit, object];
                self.query(Patience::Housekeeping, operation, statements::EVENTS_LIST_OF_OBJECT, parameters).await?
            }
            None => {
                let parameters: super::Parameters<'_> = &[&filter.event_type, &filter.before_sequence, &limit];
                self.query(Patience::Housekeeping, operation, statements::EVENTS_LIST, parameters).await?
            }
        };
        rows.iter().map(summary).collect()
    }

    /// See [`crate::Store::event`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn event(&self, event_id: &str) -> Result<Option<EventDetail>, StoreError> {
        let rows = self.query(Patience::Answer, "reading an event", statements::EVENT_READ, &[&event_id]).await?;
        rows.first().map(detail).transpose()
    }

    /// See [`crate::Store::list_quarantine`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn list_quarantine(&self, limit_entries: usize) -> Result<Vec<QuarantineSummary>, StoreError> {
        let rows = self
            .query(
                Patience::Housekeeping,
                "listing the quarantine",
                statements::QUARANTINE_LIST,
                &[&limit(limit_entries)],
            )
            .await?;
        rows.iter().map(quarantined).collect()
    }

    /// See [`crate::Store::retry_quarantined`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn retry_quarantined(&self, event_ids: &[String]) -> Result<u64, StoreError> {
        self.counted("retrying quarantined deliveries", statements::QUARANTINE_RETRY, &[&event_ids]).await
    }

    /// See [`crate::Store::drop_quarantined`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn drop_quarantined(&self, event_ids: &[String]) -> Result<u64, StoreError> {
        self.execute(Patience::Housekeeping, "closing quarantine entries", statements::QUARANTINE_DROP, &[&event_ids])
            .await
    }

    /// See [`crate::Store::due_dirty`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn due_dirty(&self, now: Timestamp, limit_marks: usize) -> Result<Vec<DirtyMark>, StoreError> {
        let parameters: super::Parameters<'_> = &[&now, &limit(limit_marks)];
        let rows = self
            .query(Patience::Housekeeping, "reading objects to read again", statements::DIRTY_DUE, parameters)
            .await?;
        rows.iter().map(dirty_mark).collect()
    }

    /// See [`crate::Store::postpone_dirty`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn postpone_dirty(&self, objects: &[(String, String)], until: Timestamp) -> Result<(), StoreError> {
        let mut sorted: Vec<&(String, String)> = objects.iter().collect();
        sorted.sort_unstable();
        let kinds = Array::text(sorted.iter().map(|(object, _)| Some(object.as_str())));
        let ids = Array::text(sorted.iter().map(|(_, id)| Some(id.as_str())));
        let parameters: super::Parameters<'_> = &[&kinds, &ids, &until];
        self.execute(Patience::Housekeeping, "putting reads off", statements::DIRTY_POSTPONE, parameters).await?;
        Ok(())
    }

    /// See [`crate::Store::dirty_count`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn dirty_count(&self) -> Result<Vec<(String, u64)>, StoreError> {
        let rows =
            self.query(Patience::Housekeeping, "counting objects to read again", statements::DIRTY_COUNT, &[]).await?;
        rows.iter().map(|row| Ok((column(row, 0)?, count(column(row, 1)?)))).collect()
    }

    /// See [`crate::Store::object_has_event_between`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn object_has_event_between(
        &self,
        object_id: &str,
        after_created: i64,
        upto_created: i64,
    ) -> Result<bool, StoreError> {
        let parameters: super::Parameters<'_> = &[&object_id, &after_created, &upto_created];
        let operation = "looking for an event";
        let rows = self.query(Patience::Housekeeping, operation, statements::EVENT_BETWEEN, parameters).await?;
        rows.first().map_or(Ok(false), |row| column(row, 0))
    }
}

fn summary(row: &Row) -> Result<EventSummary, StoreError> {
    let (is_pending, is_quarantined): (bool, bool) = (column(row, 7)?, column(row, 8)?);
    Ok(EventSummary {
        sequence: column(row, 0)?,
        event_id: column(row, 1)?,
        event_type: column(row, 2)?,
        object: column(row, 3)?,
        object_id: column(row, 4)?,
        created: column(row, 5)?,
        received_at: column(row, 6)?,
        state: match (is_pending, is_quarantined) {
            (true, _) => EventState::Pending,
            (false, true) => EventState::Quarantined,
            (false, false) => EventState::Applied,
        },
    })
}

fn detail(row: &Row) -> Result<EventDetail, StoreError> {
    Ok(EventDetail {
        summary: summary(row)?,
        api_version: column(row, 9)?,
        secret_index: column(row, 10)?,
        raw: column::<Vec<u8>>(row, 11)?.into(),
        sha256: column::<&[u8]>(row, 12)?.try_into().unwrap_or(NO_HASH),
    })
}

fn quarantined(row: &Row) -> Result<QuarantineSummary, StoreError> {
    Ok(QuarantineSummary {
        event_id: column(row, 0)?,
        event_type: column(row, 1)?,
        reason: column(row, 2)?,
        detail: column(row, 3)?,
        applied: column(row, 4)?,
        at: column(row, 5)?,
    })
}

fn dirty_mark(row: &Row) -> Result<DirtyMark, StoreError> {
    Ok(DirtyMark {
        object: column(row, 0)?,
        id: column(row, 1)?,
        account: column(row, 2)?,
        reason: column(row, 3)?,
        event_id: column(row, 4)?,
        not_before: column(row, 5)?,
    })
}
