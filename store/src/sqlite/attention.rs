//! What needs somebody's attention: objects to read again, and the quarantine.

use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

use super::inbox::{release, whole};
use super::times;
use crate::{DirtyMark, QuarantineEntry, QuarantineSummary};

/// Marks objects for reading them again. An object has one mark for each event and reason, so that what settles one doubt settles
/// no other; of two such marks the later time stands.
pub(super) fn mark_dirty(connection: &Connection, marks: &[DirtyMark]) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO billhook_dirty AS stored (object, id, account, reason, event_id, not_before, marked_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT (object, id, event_id, reason) DO UPDATE SET \
         account = excluded.account, not_before = excluded.not_before, marked_at = excluded.marked_at WHERE excluded.not_before >= stored.not_before",
    )?;
    let marked_at = times::precise(times::now());
    for mark in marks {
        let not_before = times::precise(mark.not_before);
        statement.execute(params![
            mark.object,
            mark.id,
            mark.account,
            mark.reason,
            mark.event_id,
            not_before,
            marked_at
        ])?;
    }
    Ok(())
}

/// Removes these marks, except where the same mark asks for a later read by now.
pub(super) fn unmark_dirty(connection: &Connection, marks: &[DirtyMark]) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "DELETE FROM billhook_dirty WHERE object = ?1 AND id = ?2 AND event_id = ?3 AND reason = ?4 AND not_before <= ?5",
    )?;
    for mark in marks {
        let not_before = times::precise(mark.not_before);
        statement.execute(params![mark.object, mark.id, mark.event_id, mark.reason, not_before])?;
    }
    Ok(())
}

/// Removes marks by kind and id that were due at `until`.
pub(super) fn clear_dirty(
    connection: &Connection,
    objects: &[(String, String)],
    until: Timestamp,
) -> rusqlite::Result<()> {
    let mut statement =
        connection.prepare_cached("DELETE FROM billhook_dirty WHERE object = ?1 AND id = ?2 AND not_before <= ?3")?;
    let until = times::precise(until);
    objects.iter().try_for_each(|(object, id)| statement.execute(params![object, id, until]).map(|_changes| ()))
}

/// Removes marks by the event that caused them.
pub(super) fn clear_dirty_of_events(connection: &Connection, event_ids: &[String]) -> rusqlite::Result<()> {
    // The second condition is the index's own.
    let mut statement =
        connection.prepare_cached("DELETE FROM billhook_dirty WHERE event_id = ?1 AND event_id <> ''")?;
    event_ids.iter().try_for_each(|event_id| statement.execute([event_id]).map(|_changes| ()))
}

/// Marks whose waiting time is over, longest waiting first.
pub(super) fn due_dirty(connection: &Connection, now: Timestamp, limit: usize) -> rusqlite::Result<Vec<DirtyMark>> {
    let mut statement = connection.prepare_cached(
        "SELECT object, id, account, reason, event_id, not_before FROM billhook_dirty WHERE not_before <= ?1 \
         ORDER BY not_before, object, id, event_id, reason LIMIT ?2",
    )?;
    let rows = statement.query_map(params![times::precise(now), whole(limit)], |row| {
        Ok(DirtyMark {
            object: row.get(0)?,
            id: row.get(1)?,
            account: row.get(2)?,
            reason: row.get(3)?,
            event_id: row.get(4)?,
            not_before: times::read(row, 5)?,
        })
    })?;
    rows.collect()
}

/// Puts off reading objects; later times stay.
pub(super) fn postpone(
    connection: &Connection,
    objects: &[(String, String)],
    until: Timestamp,
) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "UPDATE billhook_dirty SET not_before = ?3 WHERE object = ?1 AND id = ?2 AND not_before < ?3",
    )?;
    let until = times::precise(until);
    objects.iter().try_for_each(|(object, id)| statement.execute([object, id, &until]).map(|_changes| ()))
}

/// Number of marked objects by kind.
pub(super) fn count_dirty(connection: &Connection) -> rusqlite::Result<Vec<(String, u64)>> {
    let mut statement = connection
        .prepare_cached("SELECT object, count(DISTINCT id) FROM billhook_dirty GROUP BY object ORDER BY object")?;
    let counted = |row: &Row<'_>| Ok((row.get(0)?, u64::try_from(row.get::<_, i64>(1)?).unwrap_or(0)));
    statement.query_map([], counted)?.collect()
}

/// Shows deliveries in the quarantine; an older entry of the same delivery is replaced.
pub(super) fn quarantine(connection: &Connection, entries: &[QuarantineEntry]) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO billhook_quarantine (sequence, reason, detail, applied, at) VALUES (?1, ?2, ?3, ?4, ?5) \
         ON CONFLICT (sequence) DO UPDATE SET reason = excluded.reason, detail = excluded.detail, \
         applied = excluded.applied, at = excluded.at, closed_at = NULL",
    )?;
    for entry in entries {
        statement.execute(params![
            entry.sequence,
            entry.reason,
            entry.detail,
            entry.applied,
            times::precise(entry.at)
        ])?;
    }
    Ok(())
}

/// Open entries, newest first.
pub(super) fn list_quarantine(connection: &Connection, limit: usize) -> rusqlite::Result<Vec<QuarantineSummary>> {
    let mut statement = connection.prepare_cached(
        "SELECT event_id, event_type, reason, detail, applied, at FROM billhook_quarantine \
         JOIN billhook_inbox USING (sequence) WHERE closed_at IS NULL ORDER BY sequence DESC LIMIT ?1",
    )?;
    let rows = statement.query_map([whole(limit)], |row: &Row<'_>| {
        Ok(QuarantineSummary {
            event_id: row.get(0)?,
            event_type: row.get(1)?,
            reason: row.get(2)?,
            detail: row.get(3)?,
            applied: row.get(4)?,
            at: times::read(row, 5)?,
        })
    })?;
    rows.collect()
}

/// Closes open entries of these events; returns the events that had one.
pub(super) fn close_quarantined(connection: &Connection, event_ids: &[String]) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare_cached(
        "UPDATE billhook_quarantine SET closed_at = ?2 WHERE closed_at IS NULL \
         AND sequence = (SELECT sequence FROM billhook_inbox WHERE event_id = ?1)",
    )?;
    let closed_at = times::precise(times::now());
    let mut closed = Vec::new();
    for event_id in event_ids {
        if statement.execute([event_id, &closed_at])? == 1 {
            closed.push(event_id.clone());
        }
    }
    Ok(closed)
}

/// Closes open entries of these events and puts their deliveries back into the queue.
pub(super) fn retry_quarantined(connection: &Connection, event_ids: &[String]) -> rusqlite::Result<u64> {
    let closed = close_quarantined(connection, event_ids)?;
    release(connection, &closed)?;
    Ok(closed.len() as u64)
}
