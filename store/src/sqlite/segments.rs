//! Segments of sync runs: who works on one, how far it has come, and how it ends. The writer is alone, so what is read here stays
//! true until the commit.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::inbox::whole;
use super::runs;
use super::times;
use crate::{Advance, NewSegment, Segment, SegmentEnd};

/// Segments of a run, free from a time on.
pub(super) fn insert(
    connection: &Connection,
    run: i64,
    is_reconcile: bool,
    segments: &[NewSegment],
    free_at: Timestamp,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO billhook_sync_segments (run, is_reconcile, stream, created_gte, created_lt, cursor, free_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
    )?;
    let free_at = times::precise(free_at);
    for segment in segments {
        let NewSegment { stream, created_gte, created_lt, cursor } = segment;
        statement.execute(params![run, is_reconcile, stream, created_gte, created_lt, cursor, free_at])?;
    }
    Ok(())
}

/// Takes segments that are free at `now`, those that wait longest first.
pub(super) fn claim(
    connection: &Connection,
    holder: &str,
    now: Timestamp,
    lease_until: Timestamp,
    limit: usize,
    reconcile: bool,
) -> rusqlite::Result<Vec<Segment>> {
    let free: Vec<Segment> = connection
        .prepare_cached(
            "SELECT segment.id, segment.run, run.object, segment.stream, segment.created_gte, segment.created_lt, \
             segment.cursor, segment.token + 1, run.\"trigger\", run.related, run.requested_at, segment.attempts \
             FROM billhook_sync_segments AS segment JOIN billhook_sync_runs AS run ON run.id = segment.run \
             WHERE segment.ended_as IS NULL AND segment.is_reconcile = ?2 AND segment.free_at <= ?1 \
             ORDER BY segment.free_at, segment.id LIMIT ?3",
        )?
        .query_map(params![times::precise(now), reconcile, whole(limit)], segment)?
        .collect::<rusqlite::Result<_>>()?;
    let mut take = connection
        .prepare_cached("UPDATE billhook_sync_segments SET token = ?2, holder = ?3, free_at = ?4 WHERE id = ?1")?;
    for segment in &free {
        take.execute(params![segment.id, segment.token, holder, times::precise(lease_until)])?;
    }
    Ok(free)
}

fn segment(row: &Row<'_>) -> rusqlite::Result<Segment> {
    Ok(Segment {
        id: row.get(0)?,
        run: row.get(1)?,
        object: row.get(2)?,
        stream: row.get(3)?,
        created_gte: row.get(4)?,
        created_lt: row.get(5)?,
        cursor: row.get(6)?,
        token: row.get(7)?,
        trigger: row.get(8)?,
        related: row.get(9)?,
        requested_at: times::read(row, 10)?,
        attempts: row.get(11)?,
    })
}

/// Lengthens leases; returns the segments that are still the holder's.
pub(super) fn renew(
    connection: &Connection,
    holder: &str,
    segments: &[(i64, i64)],
    lease_until: Timestamp,
) -> rusqlite::Result<Vec<i64>> {
    let mut statement = connection.prepare_cached(
        "UPDATE billhook_sync_segments SET free_at = ?4 WHERE id = ?1 AND token = ?2 AND holder = ?3 AND ended_as IS NULL",
    )?;
    let free_at = times::precise(lease_until);
    let mut renewed = Vec::with_capacity(segments.len());
    for (id, token) in segments {
        if statement.execute(params![id, token, holder, free_at])? == 1 {
            renewed.push(*id);
        }
    }
    Ok(renewed)
}

/// Gives back all leases of a holder.
pub(super) fn release(connection: &Connection, holder: &str, now: Timestamp) -> rusqlite::Result<u64> {
    let released = connection
        .prepare_cached(
            "UPDATE billhook_sync_segments SET holder = NULL, free_at = ?2 WHERE holder = ?1 AND ended_as IS NULL",
        )?
        .execute([holder, &times::precise(now)])?;
    Ok(released as u64)
}

/// Gives one lease back; the segment waits.
pub(super) fn postpone(
    connection: &Connection,
    segment: i64,
    token: i64,
    not_before: Timestamp,
    message: &str,
    now: Timestamp,
) -> rusqlite::Result<bool> {
    let changed = connection
        .prepare_cached(
            "UPDATE billhook_sync_segments SET holder = NULL, free_at = ?3, attempts = attempts + 1, message = ?4, \
             message_at = ?5 WHERE id = ?1 AND token = ?2 AND holder IS NOT NULL AND ended_as IS NULL",
        )?
        .execute(params![segment, token, times::precise(not_before), message, times::precise(now)])?;
    Ok(changed == 1)
}

/// Ends a segment, and with the last one its run.
pub(super) fn close(
    connection: &Connection,
    segment: i64,
    token: i64,
    end: SegmentEnd,
    message: &str,
    now: Timestamp,
) -> rusqlite::Result<bool> {
    let run = connection
        .prepare_cached(
            "UPDATE billhook_sync_segments SET holder = NULL, free_at = ?5, ended_as = ?3, message = ?4, message_at = ?5 \
             WHERE id = ?1 AND token = ?2 AND holder IS NOT NULL AND ended_as IS NULL RETURNING run",
        )?
        .query_row(params![segment, token, end.name(), message, times::precise(now)], |row| row.get(0))
        .optional()?;
    let Some(run) = run else { return Ok(false) };
    runs::end(connection, run, now)?;
    Ok(true)
}

/// Notes a page; see [`crate::Transaction::advance_segment`].
pub(super) fn advance(connection: &Connection, advance: &Advance) -> rusqlite::Result<bool> {
    let free_at = if advance.closed.is_some() { advance.now } else { advance.lease_until };
    let count = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let found: Option<(i64, bool)> = connection
        .prepare_cached(
            "UPDATE billhook_sync_segments SET cursor = ?3, created_gte = ?4, \
             created_low = min(coalesce(created_low, ?5), coalesce(?5, created_low)), objects = objects + ?6, \
             requests = requests + ?7, message = ?8, message_at = ?9, attempts = 0, free_at = ?10, ended_as = ?11, \
             holder = CASE WHEN ?11 IS NULL THEN holder END \
             WHERE id = ?1 AND token = ?2 AND holder IS NOT NULL AND ended_as IS NULL RETURNING run, is_reconcile",
        )?
        .query_row(
            params![
                advance.segment,
                advance.token,
                advance.cursor,
                advance.created_gte,
                advance.created_low,
                count(advance.objects),
                count(advance.requests),
                advance.message,
                times::precise(advance.now),
                times::precise(free_at),
                advance.closed.map(SegmentEnd::name),
            ],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .optional()?;
    let Some((run, is_reconcile)) = found else { return Ok(false) };
    insert(connection, run, is_reconcile, &advance.split, advance.now)?;
    if advance.closed.is_some() {
        runs::end(connection, run, advance.now)?;
    }
    Ok(true)
}
