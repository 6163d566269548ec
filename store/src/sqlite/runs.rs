//! Sync runs: starting, joining, ending, showing and forgetting them.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, named_params, params};

use super::inbox::whole;
use super::segments;
use super::times;
use crate::{NewRun, RECONCILE, RunSummary, SegmentEnd, Started};

/// Makes a run with its segments, or finds the open one of the same kind and window.
pub(super) fn start(connection: &Connection, run: &NewRun) -> rusqlite::Result<Started> {
    let is_reconcile = run.trigger == RECONCILE;
    let joined = connection
        .prepare_cached(
            "UPDATE billhook_sync_runs SET related = related OR ?5 WHERE finished_at IS NULL AND object = ?1 \
             AND coalesce(created_gte, -9223372036854775808) = coalesce(?2, -9223372036854775808) \
             AND coalesce(created_lt, 9223372036854775807) = coalesce(?3, 9223372036854775807) AND is_reconcile = ?4 \
             RETURNING id",
        )?
        .query_row(params![run.object, run.created_gte, run.created_lt, is_reconcile, run.related], |row| row.get(0))
        .optional()?;
    if let Some(id) = joined {
        return Ok(Started::Joined(id));
    }
    connection
        .prepare_cached(
            "INSERT INTO billhook_sync_runs (object, created_gte, created_lt, \"trigger\", is_reconcile, related, requested_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?
        .execute(params![
            run.object,
            run.created_gte,
            run.created_lt,
            run.trigger,
            is_reconcile,
            run.related,
            times::precise(run.requested_at)
        ])?;
    let id = connection.last_insert_rowid();
    segments::insert(connection, id, is_reconcile, &run.segments, run.requested_at)?;
    Ok(Started::New(id))
}

/// Ends a run when it has no open segment left; its end is the worst of its segments'.
pub(super) fn end(connection: &Connection, run: i64, now: Timestamp) -> rusqlite::Result<()> {
    let ends: Vec<Option<String>> = connection
        .prepare_cached("SELECT DISTINCT ended_as FROM billhook_sync_segments WHERE run = ?1")?
        .query_map([run], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let ends: Option<Vec<String>> = ends.into_iter().collect();
    let Some(ends) = ends else { return Ok(()) };
    let worst = ends.iter().filter_map(|name| SegmentEnd::from_name(name)).max().unwrap_or(SegmentEnd::Done);
    connection
        .prepare_cached(
            "UPDATE billhook_sync_runs SET state = ?2, finished_at = ?3 WHERE id = ?1 AND finished_at IS NULL",
        )?
        .execute(params![run, worst.name(), times::precise(now)])
        .map(|_changes| ())
}

/// What lists show of a run; one row a run.
const SUMMARY: &str = "SELECT run.id, run.object, run.created_gte, run.created_lt, run.\"trigger\", run.related, run.state, \
     run.requested_at, run.finished_at, total.objects, total.requests, total.segments_open, total.segments_all, \
     CASE WHEN total.unplaced = 0 THEN total.created_low END, CASE WHEN total.unbounded = 0 THEN total.seconds_unread END, \
     coalesce((SELECT message FROM billhook_sync_segments AS segment WHERE segment.run = run.id AND message <> '' \
     ORDER BY message_at DESC, segment.id DESC LIMIT 1), '') \
     FROM billhook_sync_runs AS run JOIN (SELECT segment.run, sum(objects) AS objects, sum(requests) AS requests, \
     count(*) FILTER (WHERE ended_as IS NULL) AS segments_open, count(*) AS segments_all, \
     count(*) FILTER (WHERE ended_as IS NULL AND coalesce(created_low, created_lt) IS NULL) AS unplaced, \
     max(coalesce(created_low, created_lt)) FILTER (WHERE ended_as IS NULL) AS created_low, \
     count(*) FILTER (WHERE ended_as IS NULL AND coalesce(created_low, created_lt) - created_gte IS NULL) AS unbounded, \
     coalesce(sum(max(coalesce(created_low, created_lt) - created_gte, 0)) FILTER (WHERE ended_as IS NULL), 0) \
     AS seconds_unread FROM billhook_sync_segments AS segment WHERE segment.run IN (SELECT id FROM billhook_sync_runs \
     WHERE (:id IS NULL OR id = :id) AND (NOT :open_only OR finished_at IS NULL) ORDER BY id DESC LIMIT :limit) \
     GROUP BY segment.run) AS total ON total.run = run.id ORDER BY run.id DESC";

/// One run, or runs, newest first.
pub(super) fn list(
    connection: &Connection,
    id: Option<i64>,
    open_only: bool,
    limit: usize,
) -> rusqlite::Result<Vec<RunSummary>> {
    let mut statement = connection.prepare_cached(SUMMARY)?;
    let parameters = named_params! { ":id": id, ":open_only": open_only, ":limit": whole(limit) };
    statement.query_map(parameters, summary)?.collect()
}

fn summary(row: &Row<'_>) -> rusqlite::Result<RunSummary> {
    let count = |column| row.get::<_, i64>(column).map(|number| u64::try_from(number).unwrap_or(0));
    Ok(RunSummary {
        id: row.get(0)?,
        object: row.get(1)?,
        created_gte: row.get(2)?,
        created_lt: row.get(3)?,
        trigger: row.get(4)?,
        related: row.get(5)?,
        end: SegmentEnd::from_name(row.get_ref(6)?.as_str()?),
        requested_at: times::read(row, 7)?,
        finished_at: times::read_optional(row, 8)?,
        objects: count(9)?,
        requests: count(10)?,
        segments_open: count(11)?,
        segments_all: count(12)?,
        created_low: row.get(13)?,
        seconds_unread: row.get(14)?,
        message: row.get(15)?,
    })
}

/// Removes runs that ended before a time, with their segments.
pub(super) fn prune(connection: &Connection, before: Timestamp, limit: usize) -> rusqlite::Result<u64> {
    let runs: Vec<i64> = connection
        .prepare_cached("SELECT id FROM billhook_sync_runs WHERE finished_at < ?1 ORDER BY id LIMIT ?2")?
        .query_map(params![times::precise(before), whole(limit)], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    for run in &runs {
        connection.prepare_cached("DELETE FROM billhook_sync_segments WHERE run = ?1")?.execute([run])?;
        connection.prepare_cached("DELETE FROM billhook_sync_runs WHERE id = ?1")?.execute([run])?;
    }
    Ok(runs.len() as u64)
}
