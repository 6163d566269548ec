//! Sync runs: starting, joining, showing and forgetting them.

use jiff::Timestamp;
use tokio_postgres::Row;

use super::encode::Array;
use super::session::Patience;
use super::{PostgresStore, column, count, limit, statements};
use crate::{NewRun, NewSegment, RECONCILE, RunSummary, SegmentEnd, Started, StoreError};

/// A start answers nothing only when another session makes or ends such a run at that very moment; then the next one sees it.
const START_ATTEMPTS_MAX: usize = 5;

impl PostgresStore {
    /// See [`crate::Store::start_run`].
    ///
    /// # Errors
    /// For a run without segments, and when the database is away or too slow.
    pub async fn start_run(&self, run: NewRun) -> Result<Started, StoreError> {
        let operation = "starting a sync run";
        if run.segments.is_empty() {
            return Err(StoreError::Refused { operation, message: "a run needs something to read".to_owned() });
        }
        let parts = Parts::encode(&run.segments);
        let is_reconcile = run.trigger == RECONCILE;
        let parameters: super::Parameters<'_> = &[
            &run.object,
            &run.created_gte,
            &run.created_lt,
            &run.trigger,
            &is_reconcile,
            &run.related,
            &run.requested_at,
            &parts.streams,
            &parts.created_gte,
            &parts.created_lt,
            &parts.cursors,
        ];
        for _attempt in 0..START_ATTEMPTS_MAX {
            let rows = self.query(Patience::Answer, operation, statements::SYNC_RUN_START, parameters).await?;
            if let Some(row) = rows.first() {
                let id = column(row, 0)?;
                return Ok(if column(row, 1)? { Started::New(id) } else { Started::Joined(id) });
            }
        }
        Err(StoreError::Conflict("a sync run of the same objects was being started or ended".to_owned()))
    }

    /// See [`crate::Store::list_runs`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn list_runs(&self, limit_runs: usize, open_only: bool) -> Result<Vec<RunSummary>, StoreError> {
        let parameters: super::Parameters<'_> = &[&None::<i64>, &open_only, &limit(limit_runs)];
        let rows =
            self.query(Patience::Housekeeping, "listing sync runs", statements::SYNC_RUNS_LIST, parameters).await?;
        rows.iter().map(summary).collect()
    }

    /// See [`crate::Store::run`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn run(&self, id: i64) -> Result<Option<RunSummary>, StoreError> {
        let parameters: super::Parameters<'_> = &[&Some(id), &false, &1_i64];
        let rows =
            self.query(Patience::Housekeeping, "reading a sync run", statements::SYNC_RUNS_LIST, parameters).await?;
        rows.first().map(summary).transpose()
    }

    /// See [`crate::Store::prune_runs`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn prune_runs(&self, before: Timestamp, limit_runs: usize) -> Result<u64, StoreError> {
        self.counted("removing old sync runs", statements::SYNC_RUNS_PRUNE, &[&before, &limit(limit_runs)]).await
    }
}

/// Encoded segments.
pub(super) struct Parts {
    pub(super) streams: Array,
    pub(super) created_gte: Array,
    pub(super) created_lt: Array,
    pub(super) cursors: Array,
}

impl Parts {
    pub(super) fn encode(segments: &[NewSegment]) -> Self {
        Self {
            streams: Array::text(segments.iter().map(|segment| Some(segment.stream.as_str()))),
            created_gte: Array::bigint(segments.iter().map(|segment| segment.created_gte)),
            created_lt: Array::bigint(segments.iter().map(|segment| segment.created_lt)),
            cursors: Array::text(segments.iter().map(|segment| Some(segment.cursor.as_str()))),
        }
    }
}

fn summary(row: &Row) -> Result<RunSummary, StoreError> {
    Ok(RunSummary {
        id: column(row, 0)?,
        object: column(row, 1)?,
        created_gte: column(row, 2)?,
        created_lt: column(row, 3)?,
        trigger: column(row, 4)?,
        related: column(row, 5)?,
        end: SegmentEnd::from_name(column(row, 6)?),
        requested_at: column(row, 7)?,
        finished_at: column(row, 8)?,
        objects: count(column(row, 9)?),
        requests: count(column(row, 10)?),
        segments_open: count(column(row, 11)?),
        segments_all: count(column(row, 12)?),
        created_low: column(row, 13)?,
        seconds_unread: column(row, 14)?,
        message: column(row, 15)?,
    })
}
