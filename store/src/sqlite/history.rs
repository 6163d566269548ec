//! What the ordering law remembers about objects: versions of rows, tombstones and contenders.

use billhook_core::row::{Rank, Version};
use billhook_core::table::Table;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::inbox::whole;
use super::statements::{DELETED, quoted};
use crate::{Contender, MirroredObject, RowState, StoredRow, Tombstone, UnseenRow, UnseenRows};

/// Versions of rows. The writer is alone, so reading locks.
pub(super) fn row_states(
    connection: &Connection,
    table: &Table,
    ids: &[String],
) -> rusqlite::Result<Vec<Option<RowState>>> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT _version_time, _version_rank, coalesce(_source_event, ''), coalesce(CAST(_raw_data AS TEXT), 'null') \
         FROM {} WHERE id = ?1",
        quoted(&table.name)
    ))?;
    let state = |row: &Row<'_>| Ok(RowState { version: version(row, 0)?, source_event: row.get(2)?, raw: row.get(3)? });
    ids.iter().map(|id| statement.query_row([id], state).optional()).collect()
}

/// Everything of a row that rebuilding and comparing need.
const STORED: &str = "SELECT id, coalesce(_account_id, ''), _version_time, _version_rank, coalesce(_source_event, ''), \
     CAST(_raw_data AS TEXT) FROM";

/// Rows in order of id, those that have a document to rebuild from.
pub(super) fn scan(
    connection: &Connection,
    table: &Table,
    after_id: &str,
    limit: usize,
) -> rusqlite::Result<Vec<StoredRow>> {
    let mut statement = connection.prepare_cached(&format!(
        "{STORED} {} WHERE id > ?1 AND _raw_data IS NOT NULL ORDER BY id LIMIT ?2",
        quoted(&table.name)
    ))?;
    statement.query_map(params![after_id, whole(limit)], stored_row)?.collect()
}

/// Rows by id, those that have a document.
pub(super) fn rows(connection: &Connection, table: &Table, ids: &[String]) -> rusqlite::Result<Vec<Option<StoredRow>>> {
    let mut statement = connection
        .prepare_cached(&format!("{STORED} {} WHERE id = ?1 AND _raw_data IS NOT NULL", quoted(&table.name)))?;
    ids.iter().map(|id| statement.query_row([id], stored_row).optional()).collect()
}

/// The document of one row, and whether the row is flagged as deleted.
pub(super) fn object(connection: &Connection, table: &Table, id: &str) -> rusqlite::Result<Option<MirroredObject>> {
    let deleted = if table.column(DELETED).is_some() { "deleted IS true" } else { "false" };
    let read = |row: &Row<'_>| Ok(MirroredObject { raw: row.get(0)?, is_deleted: row.get(1)? });
    connection
        .prepare_cached(&format!(
            "SELECT CAST(_raw_data AS TEXT), {deleted} FROM {} WHERE id = ?1 AND _raw_data IS NOT NULL",
            quoted(&table.name)
        ))?
        .query_row([id], read)
        .optional()
}

/// What a text column of one row holds.
pub(super) fn text_of(
    connection: &Connection,
    table: &Table,
    column: &str,
    id: &str,
) -> rusqlite::Result<Option<String>> {
    connection
        .prepare_cached(&format!("SELECT {} FROM {} WHERE id = ?1", quoted(column), quoted(&table.name)))?
        .query_row([id], |row| row.get(0))
        .optional()
        .map(Option::flatten)
}

fn stored_row(row: &Row<'_>) -> rusqlite::Result<StoredRow> {
    Ok(StoredRow {
        id: row.get(0)?,
        account: row.get(1)?,
        version: version(row, 2)?,
        source_event: row.get(4)?,
        raw: row.get(5)?,
    })
}

/// Looks at rows in order of id for those that live and are older than a time.
pub(super) fn unseen(
    connection: &Connection,
    table: &Table,
    version_before: i64,
    after_id: &str,
    limit: usize,
) -> rusqlite::Result<UnseenRows> {
    let living = if table.column(DELETED).is_some() { " AND deleted IS NOT true" } else { "" };
    let mut statement = connection.prepare_cached(&format!(
        "SELECT id, coalesce(_account_id, ''), (_version_time IS NULL OR _version_time < ?3){living} FROM {} \
         WHERE id > ?1 ORDER BY id LIMIT ?2",
        quoted(&table.name)
    ))?;
    let mut rows = statement.query(params![after_id, whole(limit), version_before])?;
    let mut unseen = UnseenRows::default();
    let (mut looked_at, mut last) = (0, None);
    while let Some(row) = rows.next()? {
        let id: String = row.get(0)?;
        if row.get(2)? {
            unseen.rows.push(UnseenRow { id: id.clone(), account: row.get(1)? });
        }
        (looked_at, last) = (looked_at + 1, Some(id));
    }
    unseen.next_after = last.filter(|_| looked_at >= limit);
    Ok(unseen)
}

/// Of these ids, those that have neither a row nor a tombstone.
pub(super) fn missing(connection: &Connection, table: &Table, ids: &[String]) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare_cached(&format!(
        "SELECT 1 FROM {} WHERE id = ?1 \
         UNION ALL SELECT 1 FROM billhook_tombstones WHERE table_name = ?2 AND id = ?1",
        quoted(&table.name)
    ))?;
    let mut missing = Vec::new();
    for id in ids {
        if !statement.exists([id, &table.name])? {
            missing.push(id.clone());
        }
    }
    Ok(missing)
}

/// Number of rows by table. Cost: reads the smallest index of each table.
pub(super) fn counts(connection: &Connection, tables: &'static [Table]) -> rusqlite::Result<Vec<(&'static str, u64)>> {
    let count = |table: &'static Table| {
        let sql = format!("SELECT count(*) FROM {}", quoted(&table.name));
        let rows: i64 = connection.query_row(&sql, [], |row| row.get(0))?;
        Ok((table.name.as_str(), u64::try_from(rows).unwrap_or(0)))
    };
    tables.iter().map(count).collect()
}

/// A row without a version is older than any.
fn version(row: &Row<'_>, column: usize) -> rusqlite::Result<Version> {
    let (time, rank): (Option<i64>, Option<i16>) = (row.get(column)?, row.get(column + 1)?);
    Ok(match time {
        Some(time) => Version { time, rank: Rank::from_stored(rank.unwrap_or(Rank::Event as i16)) },
        None => Version { time: i64::MIN, rank: Rank::Embedded },
    })
}

/// Removes rows.
pub(super) fn delete_rows(connection: &Connection, table: &Table, ids: &[String]) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(&format!("DELETE FROM {} WHERE id = ?1", quoted(&table.name)))?;
    ids.iter().try_for_each(|id| statement.execute([id]).map(|_changes| ()))
}

/// Removes rows that a tombstone of the same or a later time forbids.
pub(super) fn delete_buried(connection: &Connection, table: &Table, ids: &[String]) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(&format!(
        "DELETE FROM {} AS stored WHERE id = ?1 AND EXISTS (SELECT 1 FROM billhook_tombstones AS buried \
         WHERE buried.table_name = ?2 AND buried.id = ?1 \
         AND (stored._version_time IS NULL OR buried.time >= stored._version_time))",
        quoted(&table.name)
    ))?;
    ids.iter().try_for_each(|id| statement.execute([id, &table.name]).map(|_changes| ()))
}

/// Reads tombstones.
pub(super) fn tombstones(
    connection: &Connection,
    table: &Table,
    ids: &[String],
) -> rusqlite::Result<Vec<Option<Tombstone>>> {
    let mut statement = connection.prepare_cached(
        "SELECT time, source_event, base_time FROM billhook_tombstones WHERE table_name = ?1 AND id = ?2",
    )?;
    let tombstone =
        |row: &Row<'_>| Ok(Tombstone { time: row.get(0)?, source_event: row.get(1)?, base_time: row.get(2)? });
    ids.iter().map(|id| statement.query_row([&table.name, id], tombstone).optional()).collect()
}

/// Writes tombstones; one of a later time stays.
pub(super) fn bury(connection: &Connection, table: &Table, tombstones: &[(String, Tombstone)]) -> rusqlite::Result<()> {
    let mut statement = connection.prepare_cached(
        "INSERT INTO billhook_tombstones AS stored (table_name, id, time, source_event, base_time) VALUES (?1, ?2, ?3, ?4, ?5) \
         ON CONFLICT (table_name, id) DO UPDATE SET time = excluded.time, source_event = excluded.source_event, \
         base_time = excluded.base_time WHERE excluded.time >= stored.time",
    )?;
    for (id, tombstone) in tombstones {
        statement.execute(params![table.name, id, tombstone.time, tombstone.source_event, tombstone.base_time])?;
    }
    Ok(())
}

/// Removes tombstones.
pub(super) fn unbury(connection: &Connection, table: &Table, ids: &[String]) -> rusqlite::Result<()> {
    let mut statement =
        connection.prepare_cached("DELETE FROM billhook_tombstones WHERE table_name = ?1 AND id = ?2")?;
    ids.iter().try_for_each(|id| statement.execute([&table.name, id]).map(|_changes| ()))
}

/// Reads contenders by object, oldest first.
pub(super) fn contenders(connection: &Connection, table: &Table, ids: &[String]) -> rusqlite::Result<Vec<Contender>> {
    // Sorted below: with a sort inside, SQLite would parse the statement again at every execution.
    let mut statement = connection
        .prepare_cached("SELECT event_id, time FROM billhook_contenders WHERE table_name = ?1 AND id = ?2")?;
    let mut found = Vec::new();
    for id in ids {
        let contender = |row: &Row<'_>| {
            Ok(Contender { table: table.index, id: id.clone(), event_id: row.get(0)?, time: row.get(1)? })
        };
        for contender in statement.query_map([&table.name, id], contender)? {
            found.push(contender?);
        }
    }
    found.sort_by(|left, right| (&left.id, left.time, &left.event_id).cmp(&(&right.id, right.time, &right.event_id)));
    Ok(found)
}

/// Remembers contenders of objects of one table.
pub(super) fn add_contender(connection: &Connection, table: &Table, contender: &Contender) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO billhook_contenders (table_name, id, event_id, time) VALUES (?1, ?2, ?3, ?4) ON CONFLICT DO NOTHING",
        )?
        .execute(params![table.name, contender.id, contender.event_id, contender.time])
        .map(|_changes| ())
}

/// Forgets contenders that are older than a time.
pub(super) fn forget_contenders(
    connection: &Connection,
    table: &Table,
    before: &[(String, i64)],
) -> rusqlite::Result<()> {
    let mut statement =
        connection.prepare_cached("DELETE FROM billhook_contenders WHERE table_name = ?1 AND id = ?2 AND time < ?3")?;
    before.iter().try_for_each(|(id, time)| statement.execute(params![table.name, id, time]).map(|_changes| ()))
}
