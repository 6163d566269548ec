//! Segments of sync runs: who works on one, how far it has come, and how it ends.

use jiff::Timestamp;
use tokio_postgres::Row;

use super::encode::Array;
use super::runs::Parts;
use super::session::Patience;
use super::transaction::PostgresTransaction;
use super::{Parameters, PostgresStore, column, limit, statements, whole};
use crate::{Advance, Segment, SegmentEnd, StoreError};

impl PostgresStore {
    /// See [`crate::Store::claim_segments`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn claim_segments(
        &self,
        holder: &str,
        now: Timestamp,
        lease_until: Timestamp,
        limit_segments: usize,
        reconcile: bool,
    ) -> Result<Vec<Segment>, StoreError> {
        let parameters: Parameters<'_> = &[&holder, &now, &lease_until, &limit(limit_segments), &reconcile];
        let rows =
            self.query(Patience::Answer, "claiming segments", statements::SYNC_SEGMENTS_CLAIM, parameters).await?;
        rows.iter().map(segment).collect()
    }

    /// See [`crate::Store::renew_segments`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn renew_segments(
        &self,
        holder: &str,
        segments: &[(i64, i64)],
        lease_until: Timestamp,
    ) -> Result<Vec<i64>, StoreError> {
        let ids = Array::bigint(segments.iter().map(|(id, _)| Some(*id)));
        let tokens = Array::bigint(segments.iter().map(|(_, token)| Some(*token)));
        let parameters: Parameters<'_> = &[&holder, &ids, &tokens, &lease_until];
        let rows =
            self.query(Patience::Answer, "lengthening leases", statements::SYNC_SEGMENTS_RENEW, parameters).await?;
        rows.iter().map(|row| column(row, 0)).collect()
    }

    /// See [`crate::Store::release_segments`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn release_segments(&self, holder: &str, now: Timestamp) -> Result<u64, StoreError> {
        let operation = "giving segments back";
        self.execute(Patience::Answer, operation, statements::SYNC_SEGMENTS_RELEASE, &[&holder, &now]).await
    }

    /// See [`crate::Store::postpone_segment`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn postpone_segment(
        &self,
        segment: i64,
        token: i64,
        not_before: Timestamp,
        message: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let parameters: Parameters<'_> = &[&segment, &token, &not_before, &message, &now];
        let operation = "putting a segment off";
        let changed = self.execute(Patience::Answer, operation, statements::SYNC_SEGMENT_POSTPONE, parameters).await?;
        Ok(changed == 1)
    }

    /// See [`crate::Store::close_segment`].
    ///
    /// # Errors
    /// When the database is away or too slow, or when it collided with another transaction.
    pub async fn close_segment(
        &self,
        segment: i64,
        token: i64,
        end: SegmentEnd,
        message: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let mut transaction = PostgresTransaction::begin(&self.shared).await?;
        match close(&mut transaction, segment, token, end, message, now).await {
            Ok(closed) => {
                transaction.commit().await?;
                Ok(closed)
            }
            Err(error) => {
                transaction.roll_back().await;
                Err(error)
            }
        }
    }
}

/// See [`crate::Transaction::advance_segment`].
pub(super) async fn advance(transaction: &mut PostgresTransaction, advance: &Advance) -> Result<bool, StoreError> {
    if advance.closed.is_some() {
        lock_run(transaction, advance.segment).await?;
    }
    let (objects, requests) = (whole(advance.objects), whole(advance.requests));
    let end = advance.closed.map(SegmentEnd::name);
    let free_at = if end.is_some() { advance.now } else { advance.lease_until };
    let parameters: Parameters<'_> = &[
        &advance.segment,
        &advance.token,
        &advance.cursor,
        &advance.created_gte,
        &advance.created_low,
        &objects,
        &requests,
        &advance.message,
        &advance.now,
        &free_at,
        &end,
    ];
    let rows = transaction.query("advancing a segment", statements::SYNC_SEGMENT_ADVANCE, parameters).await?;
    let Some(run) = rows.first().map(|row| column::<i64>(row, 0)).transpose()? else { return Ok(false) };
    if !advance.split.is_empty() {
        let parts = Parts::encode(&advance.split);
        let parameters: Parameters<'_> =
            &[&advance.segment, &advance.now, &parts.streams, &parts.created_gte, &parts.created_lt, &parts.cursors];
        transaction.execute("splitting a segment", statements::SYNC_SEGMENT_SPLIT, parameters).await?;
    }
    if end.is_some() {
        end_run(transaction, run, advance.now).await?;
    }
    Ok(true)
}

async fn close(
    transaction: &mut PostgresTransaction,
    segment: i64,
    token: i64,
    end: SegmentEnd,
    message: &str,
    now: Timestamp,
) -> Result<bool, StoreError> {
    lock_run(transaction, segment).await?;
    let parameters: Parameters<'_> = &[&segment, &token, &end.name(), &message, &now];
    let rows = transaction.query("ending a segment", statements::SYNC_SEGMENT_CLOSE, parameters).await?;
    let Some(row) = rows.first() else { return Ok(false) };
    end_run(transaction, column(row, 0)?, now).await?;
    Ok(true)
}

async fn lock_run(transaction: &mut PostgresTransaction, segment: i64) -> Result<(), StoreError> {
    transaction.query("locking a sync run", statements::SYNC_RUN_LOCK, &[&segment]).await.map(drop)
}

async fn end_run(transaction: &mut PostgresTransaction, run: i64, now: Timestamp) -> Result<(), StoreError> {
    transaction.execute("ending a sync run", statements::SYNC_RUN_END, &[&run, &now]).await.map(drop)
}

fn segment(row: &Row) -> Result<Segment, StoreError> {
    Ok(Segment {
        id: column(row, 0)?,
        run: column(row, 1)?,
        object: column(row, 2)?,
        stream: column(row, 3)?,
        created_gte: column(row, 4)?,
        created_lt: column(row, 5)?,
        cursor: column(row, 6)?,
        token: column(row, 7)?,
        trigger: column(row, 8)?,
        related: column(row, 9)?,
        requested_at: column(row, 10)?,
        attempts: column(row, 11)?,
    })
}
