//! Writing rows of the mirror.

use billhook_core::row::{Row, Value};
use billhook_core::table::{Column, ColumnType, Meta, Source, Table};
use rusqlite::types::{Null, ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, Statement, ToSql};

use super::errors::refused;
use super::statements::{DELETED, Statements, assignment, quoted, revives_parameter};
use super::times;
use crate::{Guard, StoreError};

const OPERATION: &str = "writing rows";

/// Inserts or replaces rows where `guard` allows it; see [`crate::Transaction::upsert`].
///
/// Cost: one prepared statement a row, about 10 µs for 40 columns.
pub(super) fn upsert(
    connection: &Connection,
    statements: &Statements,
    table: &'static Table,
    rows: &[Row],
    guard: Guard,
) -> Result<Vec<bool>, StoreError> {
    check_shape(table, rows)?;
    let updated_at = times::mirrored(times::now());
    // Neighbours in the index are written one after the other.
    let mut order: Vec<(usize, &Row)> = rows.iter().enumerate().collect();
    order.sort_by(|(_, left), (_, right)| left.id.cmp(&right.id));

    let (mut full, mut stub) = (None, None);
    let mut written = vec![false; rows.len()];
    for (position, row) in order {
        let prepared = if row.stub { &mut stub } else { &mut full };
        let statement = match prepared {
            Some(statement) => statement,
            None => prepared.insert(prepare(connection, statements.upsert(table, guard, row.stub)?)?),
        };
        let changes = write(statement, table, row, guard, &updated_at).map_err(refused(OPERATION))?;
        if let Some(slot) = written.get_mut(position) {
            *slot = changes == 1;
        }
    }
    Ok(written)
}

/// Rewrites the object columns of rows whose version is still the given one; see [`crate::Store::rewrite_rows`].
pub(super) fn rewrite(connection: &Connection, table: &'static Table, rows: &[Row]) -> Result<u64, StoreError> {
    check_shape(table, rows)?;
    let Some(sql) = rewrite_statement(table) else { return Ok(0) };
    let mut statement = prepare(connection, &sql)?;
    let mut rewritten = 0;
    for row in rows {
        rewritten += rewrite_row(&mut statement, table, row).map_err(refused("rewriting rows"))?;
    }
    Ok(rewritten)
}

fn prepare<'connection>(
    connection: &'connection Connection,
    sql: &str,
) -> Result<CachedStatement<'connection>, StoreError> {
    connection.prepare_cached(sql).map_err(refused(OPERATION))
}

fn check_shape(table: &Table, rows: &[Row]) -> Result<(), StoreError> {
    if rows.iter().all(|row| row.values.len() == table.columns.len()) {
        return Ok(());
    }
    Err(StoreError::Refused {
        operation: OPERATION,
        message: format!("a row of table {} has another number of values than the table has columns", table.name),
    })
}

fn write(
    statement: &mut Statement<'_>,
    table: &Table,
    row: &Row,
    guard: Guard,
    updated_at: &str,
) -> rusqlite::Result<usize> {
    let version_at = times::from_seconds(row.version.time);
    for (position, (column, value)) in table.columns.iter().zip(&row.values).enumerate() {
        let parameter = position + 1;
        match &column.source {
            _ if position == 0 => statement.raw_bind_parameter(parameter, row.id.as_str())?,
            Source::Meta(meta) => bind_meta(statement, parameter, *meta, row, version_at.as_deref(), updated_at)?,
            _ => statement.raw_bind_parameter(parameter, Bound { column, value, row })?,
        }
    }
    if let Some(revives) = revives_parameter(table, guard) {
        statement.raw_bind_parameter(revives, row.revives)?;
        statement.raw_bind_parameter(revives + 1, row.version.time)?;
    }
    statement.raw_execute()
}

fn bind_meta(
    statement: &mut Statement<'_>,
    parameter: usize,
    meta: Meta,
    row: &Row,
    version_at: Option<&str>,
    updated_at: &str,
) -> rusqlite::Result<()> {
    match meta {
        Meta::RawData => statement.raw_bind_parameter(parameter, row.raw.as_str()),
        Meta::AccountId => statement.raw_bind_parameter(parameter, row.account.as_str()),
        Meta::SyncedAt | Meta::VersionAt => statement.raw_bind_parameter(parameter, version_at),
        Meta::UpdatedAt => statement.raw_bind_parameter(parameter, updated_at),
        Meta::VersionTime => statement.raw_bind_parameter(parameter, row.version.time),
        Meta::VersionRank => statement.raw_bind_parameter(parameter, row.version.rank as i16),
        Meta::SourceEvent => statement.raw_bind_parameter(parameter, row.source_event.as_str()),
    }
}

/// A value on its way into a column.
///
/// SQLite's DECIMAL is a preference: `12.5` becomes a binary number and reads back as `12.5`; a decimal text with more than 15
/// significant digits loses the rest. The exact text stands in `_raw_data`.
struct Bound<'row> {
    column: &'row Column,
    value: &'row Value,
    row: &'row Row,
}

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        match self.value {
            Value::Null if self.column.name == DELETED && self.column.column_type == ColumnType::Boolean => {
                false.to_sql()
            }
            Value::Null => Null.to_sql(),
            Value::BigInt(seconds) if self.column.column_type == ColumnType::Timestamp => {
                Ok(times::from_seconds(*seconds).map_or_else(|| ToSqlOutput::from(Null), ToSqlOutput::from))
            }
            Value::BigInt(number) => number.to_sql(),
            Value::Boolean(boolean) => boolean.to_sql(),
            // Beyond the range of a binary number SQLite would store infinity.
            Value::Decimal(decimal) if !decimal.parse::<f64>().is_ok_and(f64::is_finite) => Null.to_sql(),
            Value::Text(value) | Value::Decimal(value) => Ok(ToSqlOutput::Borrowed(ValueRef::Text(value.as_bytes()))),
            Value::Json(_) | Value::InRaw(_) => {
                let document = self.row.json(self.value);
                Ok(document
                    .map_or(ToSqlOutput::from(Null), |text| ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes()))))
            }
        }
    }
}

/// Columns that rebuilding writes: what comes from an object, except the flag that events decide.
fn is_rewritten(position: usize, column: &Column) -> bool {
    position > 0 && column.name != DELETED && !matches!(column.source, Source::Meta(_))
}

/// Parameter 1 is the id, 2 and 3 the version; then the columns in their order. `None` when there is nothing to rewrite.
fn rewrite_statement(table: &Table) -> Option<String> {
    let columns: Vec<&Column> = rewritten_columns(table).map(|(_, column)| column).collect();
    if columns.is_empty() {
        return None;
    }
    let values: Vec<String> =
        columns.iter().enumerate().map(|(at, column)| format!("?{} AS {}", at + 4, quoted(&column.name))).collect();
    let assignments: Vec<String> = columns.iter().map(|column| assignment(column, "fresh")).collect();
    Some(format!(
        "UPDATE {table} AS stored SET {assignments} FROM (SELECT {values}) AS fresh \
         WHERE stored.id = ?1 AND stored._version_time = ?2 AND coalesce(stored._version_rank, 1) = ?3",
        table = quoted(&table.name),
        assignments = assignments.join(", "),
        values = values.join(", "),
    ))
}

fn rewritten_columns(table: &Table) -> impl Iterator<Item = (usize, &Column)> {
    table.columns.iter().enumerate().filter(|(position, column)| is_rewritten(*position, column))
}

fn rewrite_row(statement: &mut Statement<'_>, table: &Table, row: &Row) -> rusqlite::Result<u64> {
    statement.raw_bind_parameter(1, row.id.as_str())?;
    statement.raw_bind_parameter(2, row.version.time)?;
    statement.raw_bind_parameter(3, row.version.rank as i16)?;
    for (at, (position, column)) in rewritten_columns(table).enumerate() {
        let value = row.values.get(position).unwrap_or(&Value::Null);
        statement.raw_bind_parameter(at + 4, Bound { column, value, row })?;
    }
    Ok(statement.raw_execute()? as u64)
}
