//! One statement of the user's: its placeholders, its rows, and how many rows it changed.

use std::sync::Arc;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, Error, Row, Statement};

use super::OPERATION;
use crate::sqlite::errors::refused;
use crate::sqlite::times;
use crate::{SQL_ROWS_MAX, SqlError, SqlRow, SqlValue};

/// The rows of a statement.
pub(super) fn query(connection: &Connection, sql: &str, parameters: &[SqlValue]) -> Result<Vec<SqlRow>, SqlError> {
    let mut statement = bound(connection, sql, parameters)?;
    let names: Arc<[String]> = statement.column_names().map(str::to_owned).collect();
    let mut found = Vec::new();
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next().map_err(failed)? {
        if found.len() == SQL_ROWS_MAX {
            return Err(SqlError::TooManyRows);
        }
        found.push(SqlRow::new(Arc::clone(&names), values(row, &names)?));
    }
    Ok(found)
}

/// Runs a statement to its end, and drops its rows when it has any.
pub(super) fn execute(connection: &Connection, sql: &str, parameters: &[SqlValue]) -> Result<u64, SqlError> {
    let mut statement = bound(connection, sql, parameters)?;
    let before = connection.total_changes();
    let mut rows = statement.raw_query();
    while rows.next().map_err(failed)?.is_some() {}
    // The count of the last statement stays when this one changes nothing that is counted.
    Ok(if connection.total_changes() == before { 0 } else { connection.changes() })
}

fn bound<'connection>(
    connection: &'connection Connection,
    sql: &str,
    parameters: &[SqlValue],
) -> Result<Statement<'connection>, SqlError> {
    // Not kept: SQL that is put together at run time must not push out the statements of the mirror.
    let mut statement = connection.prepare(sql).map_err(failed)?;
    let mut wanted = 0;
    for index in 1..=statement.parameter_count() {
        let number = number(statement.parameter_name(index))?;
        wanted = wanted.max(number);
        if let Some(value) = parameters.get(number - 1) {
            statement.raw_bind_parameter(index, bind(value)).map_err(failed)?;
        }
    }
    if wanted != parameters.len() {
        let given = parameters.len();
        return Err(SqlError::Parameter(format!("the statement has {wanted} placeholders and got {given} parameters")));
    }
    Ok(statement)
}

/// The number of a placeholder. To SQLite `$1` is a name, and so is `$1::text`.
fn number(name: Option<&str>) -> Result<usize, SqlError> {
    let name = name.unwrap_or("?");
    let number = name.strip_prefix(['$', '?']).and_then(|number| number.parse().ok());
    number.filter(|number| *number > 0).ok_or_else(|| {
        SqlError::Parameter(format!(
            "the placeholder {name} cannot be used: placeholders are $1, $2, …, and on SQLite a cast is CAST($1 AS type)"
        ))
    })
}

fn bind(value: &SqlValue) -> ToSqlOutput<'_> {
    match value {
        SqlValue::Null => ToSqlOutput::Borrowed(ValueRef::Null),
        SqlValue::Bool(value) => ToSqlOutput::from(*value),
        SqlValue::Integer(number) => ToSqlOutput::from(*number),
        SqlValue::Real(number) => ToSqlOutput::from(*number),
        SqlValue::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
        SqlValue::Bytes(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
        SqlValue::Json(json) => ToSqlOutput::from(json.to_string()),
        SqlValue::Timestamp(time) => ToSqlOutput::from(times::precise(*time)),
    }
}

fn values(row: &Row<'_>, names: &[String]) -> Result<Vec<SqlValue>, SqlError> {
    let value = |(index, name): (usize, &String)| {
        Ok(match row.get_ref(index).map_err(failed)? {
            ValueRef::Null => SqlValue::Null,
            ValueRef::Integer(number) => SqlValue::Integer(number),
            ValueRef::Real(number) => SqlValue::Real(number),
            ValueRef::Text(text) => match std::str::from_utf8(text) {
                Ok(text) => text.into(),
                Err(_) => return Err(SqlError::Column(format!("column {name} is text that is not UTF-8"))),
            },
            ValueRef::Blob(bytes) => bytes.into(),
        })
    };
    names.iter().enumerate().map(value).collect()
}

fn failed(error: Error) -> SqlError {
    refused(OPERATION)(error).into()
}
