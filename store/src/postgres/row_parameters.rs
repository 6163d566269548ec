//! Parameters of the upsert and of the rewrite, encoded from the rows.

use billhook_core::row::{Row, Value};
use billhook_core::table::{Column, ColumnType, Table};
use tokio_postgres::types::{ToSql, Type};

use super::encode::{Array, is_storable_decimal};
use super::table_sql::{given_columns, is_in_raw};
use crate::StoreError;

/// Refuses rows that were made for another table or another catalogue: their values would land in the wrong columns.
pub(super) fn check_shape(table: &Table, rows: &[Row]) -> Result<(), StoreError> {
    let fits = |row: &Row| row.table == table.index && row.values.len() == table.columns.len();
    if rows.iter().all(fits) {
        return Ok(());
    }
    Err(StoreError::Refused {
        operation: "writing rows",
        message: format!("a row does not have the shape of the catalogue's table {}", table.name),
    })
}

/// Encoded parameters, in the order of the statement.
pub(super) struct RowParameters(Vec<Array>);

impl RowParameters {
    /// For [`super::table_sql::Statement::Upsert`].
    pub(super) fn upsert(table: &Table, rows: &[&Row], asks_for_tombstones: bool, from_raw: bool) -> Self {
        let mut arrays = columns(table, rows, from_raw);
        arrays.push(Array::jsonb(rows.iter().map(|row| Some(row.raw.as_str()))));
        arrays.push(Array::text(rows.iter().map(|row| Some(row.account.as_str()))));
        push_version(&mut arrays, rows);
        arrays.push(Array::unix_seconds(rows.iter().map(|row| Some(row.version.time))));
        arrays.push(Array::text(rows.iter().map(|row| Some(row.source_event.as_str()))));
        if asks_for_tombstones {
            arrays.push(Array::boolean(rows.iter().map(|row| Some(row.revives))));
        }
        Self(arrays)
    }

    /// For [`super::table_sql::Statement::Rewrite`].
    pub(super) fn rewrite(table: &Table, rows: &[&Row]) -> Self {
        let mut arrays = columns(table, rows, false);
        push_version(&mut arrays, rows);
        Self(arrays)
    }

    pub(super) fn as_parameters(&self) -> Vec<&(dyn ToSql + Sync)> {
        self.0.iter().map(|array| array as &(dyn ToSql + Sync)).collect()
    }
}

fn push_version(arrays: &mut Vec<Array>, rows: &[&Row]) {
    arrays.push(Array::bigint(rows.iter().map(|row| Some(row.version.time))));
    arrays.push(Array::smallint(rows.iter().map(|row| row.version.rank as i16)));
}

/// Whether every document of these rows stands in the object, where [`super::table_sql::Statement::Upsert`] finds it by itself.
pub(super) fn are_in_raw(table: &Table, rows: &[&Row]) -> bool {
    let columns = given_columns(table).filter(|(_, column)| is_in_raw(column));
    columns
        .into_iter()
        .all(|(at, _)| rows.iter().all(|row| matches!(row.values.get(at), None | Some(Value::Null | Value::InRaw(_)))))
}

fn columns(table: &Table, rows: &[&Row], from_raw: bool) -> Vec<Array> {
    let is_given = |(_, column): &(usize, &Column)| !(from_raw && is_in_raw(column));
    given_columns(table).filter(is_given).map(|(at, column)| encode_column(at, column, rows)).collect()
}

/// A value of another kind than its column becomes NULL: `_raw_data` keeps the truth, and one field never loses the row.
fn encode_column(at: usize, column: &Column, rows: &[&Row]) -> Array {
    let values = rows.iter().map(|row| row.values.get(at).unwrap_or(&Value::Null));
    match column.column_type {
        ColumnType::Text if at == 0 => Array::text(rows.iter().map(|row| Some(row.id.as_str()))),
        ColumnType::Text => Array::text(values.map(text)),
        ColumnType::BigInt => Array::bigint(values.map(whole)),
        ColumnType::Timestamp => Array::unix_seconds(values.map(whole)),
        ColumnType::Boolean => Array::boolean(values.map(|value| match value {
            Value::Boolean(flag) => Some(*flag),
            _ => None,
        })),
        ColumnType::Json => Array::jsonb(rows.iter().map(|row| row.values.get(at).and_then(|value| row.json(value)))),
        ColumnType::Double => Array::double(values.map(binary)),
        ColumnType::Numeric => Array::build(Type::TEXT, values, |value, out| match value {
            Value::Decimal(number) if is_storable_decimal(number) => {
                out.extend_from_slice(number.as_bytes());
                true
            }
            Value::BigInt(number) => {
                out.extend_from_slice(number.to_string().as_bytes());
                true
            }
            _ => false,
        }),
    }
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

fn whole(value: &Value) -> Option<i64> {
    match value {
        Value::BigInt(number) => Some(*number),
        _ => None,
    }
}

fn binary(value: &Value) -> Option<f64> {
    let number = match value {
        Value::Decimal(number) => number.parse().ok()?,
        Value::BigInt(number) => *number as f64,
        _ => return None,
    };
    f64::is_finite(number).then_some(number)
}
