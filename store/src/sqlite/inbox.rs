//! Deliveries: the inbox, the queue of unapplied ones, lists and retention.

use bytes::Bytes;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, named_params, params};

use super::times;
use crate::{Backlog, Delivery, EventDetail, EventFilter, EventState, EventSummary, StoredDelivery};

/// Writes deliveries; `None` stands for those whose event id is known. Cost: about 15 µs for a body of 4 KB.
pub(super) fn insert(connection: &Connection, deliveries: &[Delivery]) -> rusqlite::Result<Vec<Option<i64>>> {
    let mut inbox = connection.prepare_cached(
        "INSERT INTO billhook_inbox (event_id, event_type, object, object_id, account, api_version, snapshot_event, created, \
         livemode, received_at, secret_index, sha256, raw) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13) \
         ON CONFLICT (event_id) DO NOTHING",
    )?;
    let mut pending =
        connection.prepare_cached("INSERT INTO billhook_pending (sequence, received_at) VALUES (?1, ?2)")?;
    let mut sequences = Vec::with_capacity(deliveries.len());
    for delivery in deliveries {
        let received_at = times::precise(delivery.received_at);
        let changes = inbox.execute(params![
            delivery.event_id,
            delivery.event_type,
            delivery.object,
            delivery.object_id,
            delivery.account,
            delivery.api_version,
            delivery.snapshot_event,
            delivery.created,
            delivery.livemode,
            received_at,
            delivery.secret_index,
            delivery.sha256.as_slice(),
            delivery.raw.as_ref(),
        ])?;
        if changes == 0 {
            sequences.push(None);
            continue;
        }
        let sequence = connection.last_insert_rowid();
        pending.execute(params![sequence, received_at])?;
        sequences.push(Some(sequence));
    }
    Ok(sequences)
}

/// The oldest unapplied deliveries that are not among `excluded`, which is sorted.
pub(super) fn pending(
    connection: &Connection,
    received_before: Timestamp,
    excluded: &[i64],
    limit: usize,
    bytes_max: usize,
) -> rusqlite::Result<Vec<StoredDelivery>> {
    // The queue alone is walked, and a body is read only when it is wanted.
    let mut waiting =
        connection.prepare_cached("SELECT sequence FROM billhook_pending WHERE received_at < ?1 ORDER BY sequence")?;
    let mut body = connection
        .prepare_cached("SELECT sequence, event_id, received_at, raw FROM billhook_inbox WHERE sequence = ?1")?;
    let mut rows = waiting.query(params![times::precise(received_before)])?;
    let mut deliveries = Vec::new();
    let mut bytes: usize = 0;
    while deliveries.len() < limit
        && let Some(row) = rows.next()?
    {
        let sequence: i64 = row.get(0)?;
        if excluded.binary_search(&sequence).is_ok() {
            continue;
        }
        let Some(delivery) = body.query_row([sequence], stored_delivery).optional()? else { continue };
        bytes = bytes.saturating_add(delivery.raw.len());
        if !deliveries.is_empty() && bytes > bytes_max {
            break;
        }
        deliveries.push(delivery);
    }
    Ok(deliveries)
}

/// How much waits. Cost: reads the whole queue, which is narrow and normally short.
pub(super) fn backlog(connection: &Connection) -> rusqlite::Result<Backlog> {
    connection.prepare_cached("SELECT count(*), min(received_at) FROM billhook_pending")?.query_row([], |row| {
        Ok(Backlog {
            deliveries: u64::try_from(row.get::<_, i64>(0)?).unwrap_or(0),
            oldest_received_at: times::read_optional(row, 1)?,
        })
    })
}

/// Takes deliveries out of the queue; returns those that were in it, ascending.
pub(super) fn claim(connection: &Connection, sequences: &[i64]) -> rusqlite::Result<Vec<i64>> {
    let mut statement = connection.prepare_cached("DELETE FROM billhook_pending WHERE sequence = ?1")?;
    let mut ascending = sequences.to_vec();
    ascending.sort_unstable();
    let mut claimed = Vec::with_capacity(ascending.len());
    for sequence in ascending {
        if statement.execute([sequence])? == 1 {
            claimed.push(sequence);
        }
    }
    Ok(claimed)
}

/// Puts deliveries back into the queue; returns how many of the ids exist. They wait since now: a replay of an old event must
/// not look like an old backlog.
pub(super) fn release(connection: &Connection, event_ids: &[String]) -> rusqlite::Result<u64> {
    let mut find = connection.prepare_cached("SELECT sequence FROM billhook_inbox WHERE event_id = ?1")?;
    let mut pending = connection.prepare_cached(
        "INSERT INTO billhook_pending (sequence, received_at) VALUES (?1, ?2) ON CONFLICT DO NOTHING",
    )?;
    let queued_at = times::precise(times::now());
    let mut found = 0;
    for event_id in event_ids {
        if let Some(sequence) = find.query_row([event_id], |row| row.get::<_, i64>(0)).optional()? {
            pending.execute(params![sequence, queued_at])?;
            found += 1;
        }
    }
    Ok(found)
}

/// Deliveries by event id.
pub(super) fn by_event_ids(connection: &Connection, event_ids: &[String]) -> rusqlite::Result<Vec<StoredDelivery>> {
    let mut statement = connection
        .prepare_cached("SELECT sequence, event_id, received_at, raw FROM billhook_inbox WHERE event_id = ?1")?;
    let mut deliveries = Vec::new();
    for event_id in event_ids {
        deliveries.extend(statement.query_row([event_id], stored_delivery).optional()?);
    }
    Ok(deliveries)
}

/// Those of the ids that the inbox holds.
pub(super) fn known(connection: &Connection, event_ids: &[String]) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare_cached("SELECT 1 FROM billhook_inbox WHERE event_id = ?1")?;
    let mut known = Vec::new();
    for event_id in event_ids {
        if statement.exists([event_id])? {
            known.push(event_id.clone());
        }
    }
    Ok(known)
}

/// Whether there is an event about an object in a stretch of time.
pub(super) fn has_event_between(
    connection: &Connection,
    object_id: &str,
    after_created: i64,
    upto_created: i64,
) -> rusqlite::Result<bool> {
    // The second condition is the index's own.
    connection
        .prepare_cached(
            "SELECT 1 FROM billhook_inbox WHERE object_id = ?1 AND object_id <> '' AND created > ?2 AND created <= ?3",
        )?
        .exists(params![object_id, after_created, upto_created])
}

/// What lists show of a delivery. An open quarantine entry says more than "pending", so it goes first.
const SUMMARY: &str = "SELECT sequence, event_id, event_type, object, object_id, created, received_at, \
     EXISTS (SELECT 1 FROM billhook_quarantine AS aside WHERE aside.sequence = inbox.sequence AND closed_at IS NULL), \
     EXISTS (SELECT 1 FROM billhook_pending AS waiting WHERE waiting.sequence = inbox.sequence)";

/// Deliveries, newest first. Cost: an index for the object, a walk from the newest for the type.
pub(super) fn list(connection: &Connection, filter: &EventFilter) -> rusqlite::Result<Vec<EventSummary>> {
    let mut conditions = vec!["sequence < :before"];
    if filter.event_type.is_some() {
        conditions.push("event_type = :event_type");
    }
    if filter.object_id.is_some() {
        // The second condition is the index's own.
        conditions.push("object_id = :object_id AND object_id <> ''");
    }
    let sql = format!(
        "{SUMMARY} FROM billhook_inbox AS inbox WHERE {} AND :event_type IS :event_type AND :object_id IS :object_id \
         ORDER BY sequence DESC LIMIT :limit",
        conditions.join(" AND ")
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map(
        named_params! {
            ":before": filter.before_sequence.unwrap_or(i64::MAX),
            ":event_type": filter.event_type,
            ":object_id": filter.object_id,
            ":limit": whole(filter.limit),
        },
        summary,
    )?;
    rows.collect()
}

/// One delivery with its body.
pub(super) fn detail(connection: &Connection, event_id: &str) -> rusqlite::Result<Option<EventDetail>> {
    let sql =
        format!("{SUMMARY}, api_version, secret_index, sha256, raw FROM billhook_inbox AS inbox WHERE event_id = ?1");
    connection
        .prepare_cached(&sql)?
        .query_row([event_id], |row| {
            Ok(EventDetail {
                summary: summary(row)?,
                api_version: row.get(9)?,
                secret_index: row.get(10)?,
                sha256: row.get(11)?,
                raw: body(row, 12)?,
            })
        })
        .optional()
}

/// Removes old deliveries that are neither unapplied nor quarantined, with their closed quarantine entries.
pub(super) fn prune(connection: &Connection, before: Timestamp, limit: usize) -> rusqlite::Result<u64> {
    let sequences: Vec<i64> = connection
        .prepare_cached(
            "SELECT sequence FROM billhook_inbox AS inbox WHERE received_at < ?1 \
             AND NOT EXISTS (SELECT 1 FROM billhook_pending AS waiting WHERE waiting.sequence = inbox.sequence) \
             AND NOT EXISTS (SELECT 1 FROM billhook_quarantine AS aside \
             WHERE aside.sequence = inbox.sequence AND closed_at IS NULL) ORDER BY received_at LIMIT ?2",
        )?
        .query_map(params![times::precise(before), whole(limit)], |row| row.get(0))?
        .collect::<rusqlite::Result<_>>()?;
    let mut delivery = connection.prepare_cached("DELETE FROM billhook_inbox WHERE sequence = ?1")?;
    let mut entry = connection.prepare_cached("DELETE FROM billhook_quarantine WHERE sequence = ?1")?;
    for sequence in &sequences {
        delivery.execute([sequence])?;
        entry.execute([sequence])?;
    }
    Ok(sequences.len() as u64)
}

/// A count as SQLite's LIMIT wants it.
pub(super) fn whole(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX)
}

fn stored_delivery(row: &Row<'_>) -> rusqlite::Result<StoredDelivery> {
    Ok(StoredDelivery {
        sequence: row.get(0)?,
        event_id: row.get(1)?,
        received_at: times::read(row, 2)?,
        raw: body(row, 3)?,
    })
}

fn summary(row: &Row<'_>) -> rusqlite::Result<EventSummary> {
    let (quarantined, pending) = (row.get(7)?, row.get(8)?);
    Ok(EventSummary {
        sequence: row.get(0)?,
        event_id: row.get(1)?,
        event_type: row.get(2)?,
        object: row.get(3)?,
        object_id: row.get(4)?,
        created: row.get(5)?,
        received_at: times::read(row, 6)?,
        state: match (quarantined, pending) {
            (true, _) => EventState::Quarantined,
            (false, true) => EventState::Pending,
            (false, false) => EventState::Applied,
        },
    })
}

fn body(row: &Row<'_>, column: usize) -> rusqlite::Result<Bytes> {
    row.get::<_, Vec<u8>>(column).map(Bytes::from)
}
