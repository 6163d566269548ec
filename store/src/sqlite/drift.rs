//! What reads found and no event had told, and stretches of time without events.

use jiff::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, Error, Row, params};

use super::inbox::whole;
use super::times;
use crate::{DriftCount, DriftFind, DriftKind, Gap, StoredDrift};

/// Notes finds.
pub(super) fn note(connection: &Connection, finds: &[DriftFind]) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO billhook_drift (object, id, kind, detail, previous_time, previous_event, read_at, found_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    for find in finds {
        let DriftFind { object, id, kind, detail, previous_time, previous_event, read_at, found_at } = find;
        let found_at = times::precise(*found_at);
        let kind = kind.name();
        statement.execute(params![object, id, kind, detail, previous_time, previous_event, read_at, found_at])?;
    }
    Ok(())
}

/// Undecided finds from before a time, oldest first.
pub(super) fn due(
    connection: &Connection,
    found_before: Timestamp,
    limit: usize,
) -> rusqlite::Result<Vec<StoredDrift>> {
    let mut statement = connection.prepare_cached(
        "SELECT number, object, id, kind, detail, previous_time, previous_event, read_at, found_at, confirmed_at FROM billhook_drift \
         WHERE confirmed_at IS NULL AND found_at < ?1 ORDER BY found_at, number LIMIT ?2",
    )?;
    statement.query_map(params![times::precise(found_before), whole(limit)], stored_drift)?.collect()
}

/// Finds, newest first.
pub(super) fn list(connection: &Connection, limit: usize) -> rusqlite::Result<Vec<StoredDrift>> {
    let mut statement = connection.prepare_cached(
        "SELECT number, object, id, kind, detail, previous_time, previous_event, read_at, found_at, confirmed_at FROM billhook_drift \
         ORDER BY number DESC LIMIT ?1",
    )?;
    statement.query_map([whole(limit)], stored_drift)?.collect()
}

fn stored_drift(row: &Row<'_>) -> rusqlite::Result<StoredDrift> {
    let unknown = || Error::FromSqlConversionFailure(3, Type::Text, "an unknown kind of drift".into());
    let find = DriftFind {
        object: row.get(1)?,
        id: row.get(2)?,
        kind: DriftKind::from_name(row.get_ref(3)?.as_str()?).ok_or_else(unknown)?,
        detail: row.get(4)?,
        previous_time: row.get(5)?,
        previous_event: row.get(6)?,
        read_at: row.get(7)?,
        found_at: times::read(row, 8)?,
    };
    Ok(StoredDrift { number: row.get(0)?, find, confirmed_at: times::read_optional(row, 9)? })
}

/// Decides finds by number.
pub(super) fn settle(
    connection: &Connection,
    confirmed: &[i64],
    dismissed: &[i64],
    now: Timestamp,
) -> rusqlite::Result<()> {
    let mut dismiss =
        connection.prepare_cached("DELETE FROM billhook_drift WHERE number = ?1 AND confirmed_at IS NULL")?;
    for number in dismissed {
        dismiss.execute([number])?;
    }
    let mut confirm = connection
        .prepare_cached("UPDATE billhook_drift SET confirmed_at = ?2 WHERE number = ?1 AND confirmed_at IS NULL")?;
    let confirmed_at = times::precise(now);
    for number in confirmed {
        confirm.execute(params![number, confirmed_at])?;
    }
    Ok(())
}

/// Number of finds by kind of object.
pub(super) fn counts(connection: &Connection) -> rusqlite::Result<Vec<DriftCount>> {
    let mut statement = connection.prepare_cached(
        "SELECT object, count(*) FILTER (WHERE confirmed_at IS NULL), count(confirmed_at) FROM billhook_drift \
         GROUP BY object ORDER BY object",
    )?;
    let count = |row: &Row<'_>, column| row.get::<_, i64>(column).map(|number| u64::try_from(number).unwrap_or(0));
    let counted =
        |row: &Row<'_>| Ok(DriftCount { object: row.get(0)?, waiting: count(row, 1)?, confirmed: count(row, 2)? });
    statement.query_map([], counted)?.collect()
}

/// Removes finds that were confirmed before a time.
pub(super) fn prune(connection: &Connection, before: Timestamp, limit: usize) -> rusqlite::Result<u64> {
    let removed = connection
        .prepare_cached(
            "DELETE FROM billhook_drift WHERE number IN (SELECT number FROM billhook_drift WHERE confirmed_at IS NOT NULL \
             AND confirmed_at < ?1 ORDER BY confirmed_at LIMIT ?2)",
        )?
        .execute(params![times::precise(before), whole(limit)])?;
    Ok(removed as u64)
}

/// Remembers a gap.
pub(super) fn record_gap(connection: &Connection, gap: &Gap) -> rusqlite::Result<()> {
    let runs = serde_json::Value::from(gap.runs.as_slice()).to_string();
    connection
        .prepare_cached("INSERT INTO billhook_gaps (from_time, to_time, recorded_at, runs) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![gap.from, gap.to, times::precise(gap.recorded_at), runs])
        .map(|_changes| ())
}

/// Gaps, newest first.
pub(super) fn gaps(connection: &Connection, limit: usize) -> rusqlite::Result<Vec<Gap>> {
    let mut statement = connection.prepare_cached(
        "SELECT from_time, to_time, recorded_at, runs FROM billhook_gaps ORDER BY number DESC LIMIT ?1",
    )?;
    let gap = |row: &Row<'_>| {
        let runs = serde_json::from_str(row.get_ref(3)?.as_str()?)
            .map_err(|error| Error::FromSqlConversionFailure(3, Type::Text, Box::new(error)))?;
        Ok(Gap { from: row.get(0)?, to: row.get(1)?, recorded_at: times::read(row, 2)?, runs })
    };
    statement.query_map([whole(limit)], gap)?.collect()
}
