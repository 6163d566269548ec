//! Rows, and what their columns can be read as.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::{SqlError, SqlValue};

/// The greatest number up to which every whole number is a floating-point number.
const EXACT_MAX: u64 = 1 << f64::MANTISSA_DIGITS;

/// A row of a query.
#[derive(Debug, Clone, PartialEq)]
pub struct SqlRow {
    columns: Arc<[String]>,
    values: Vec<SqlValue>,
}

impl SqlRow {
    /// A row; `values` stand in the order of `columns`.
    pub fn new(columns: Arc<[String]>, values: Vec<SqlValue>) -> Self {
        Self { columns, values }
    }

    /// The names of its columns, in their order.
    pub fn columns(&self) -> &[String] {
        &self.columns
    }

    /// The first column of this name.
    ///
    /// # Errors
    /// When there is none, or when it is not a `T`; NULL is only an [`Option`].
    pub fn get<T: FromSqlValue>(&self, column: &str) -> Result<T, SqlError> {
        match self.columns.iter().position(|name| name == column) {
            Some(index) => self.at(index),
            None => {
                let names = self.columns.join(", ");
                Err(SqlError::Column(format!("the row has no column {column}; it has {names}")))
            }
        }
    }

    /// The column at this place, counted from 0.
    ///
    /// # Errors
    /// When there is none, or when it is not a `T`; NULL is only an [`Option`].
    pub fn at<T: FromSqlValue>(&self, index: usize) -> Result<T, SqlError> {
        let (Some(name), Some(value)) = (self.columns.get(index), self.values.get(index)) else {
            let count = self.columns.len();
            return Err(SqlError::Column(format!(
                "the row has no column number {index}; it has {count}, counted from 0"
            )));
        };
        T::from_sql_value(value).ok_or_else(|| {
            let hint = if *value == SqlValue::Null { "; read it as an Option" } else { "" };
            SqlError::Column(format!("column {name} is {} and not {}{hint}", value.kind(), T::KIND))
        })
    }
}

/// What a column can be read as.
pub trait FromSqlValue: Sized {
    /// How messages call it.
    const KIND: &'static str;

    /// The value as this type; `None` when it is not one.
    fn from_sql_value(value: &SqlValue) -> Option<Self>;
}

impl FromSqlValue for SqlValue {
    const KIND: &'static str = "a value";

    fn from_sql_value(value: &SqlValue) -> Option<Self> {
        Some(value.clone())
    }
}

impl<T: FromSqlValue> FromSqlValue for Option<T> {
    const KIND: &'static str = T::KIND;

    fn from_sql_value(value: &SqlValue) -> Option<Self> {
        if *value == SqlValue::Null { Some(None) } else { T::from_sql_value(value).map(Some) }
    }
}

impl FromSqlValue for bool {
    const KIND: &'static str = "a boolean";

    fn from_sql_value(value: &SqlValue) -> Option<Self> {
        match value {
            SqlValue::Bool(value) => Some(*value),
            // SQLite's booleans.
            SqlValue::Integer(0) => Some(false),
            SqlValue::Integer(1) => Some(true),
            _ => None,
        }
    }
}

macro_rules! integers {
    ($($type:ty, $kind:literal;)+) => {
        $(impl FromSqlValue for $type {
            const KIND: &'static str = $kind;

            fn from_sql_value(value: &SqlValue) -> Option<Self> {
                match value {
                    SqlValue::Integer(number) => (*number).try_into().ok(),
                    _ => None,
                }
            }
        })+
    };
}

integers! {
    i64, "a whole number of 64 bits";
    i32, "a whole number of 32 bits";
    i16, "a whole number of 16 bits";
    u64, "a whole number from 0 on";
    u32, "a whole number from 0 on of 32 bits";
}

impl FromSqlValue for f64 {
    const KIND: &'static str = "a floating-point number";

    fn from_sql_value(value: &SqlValue) -> Option<Self> {
        match value {
            SqlValue::Real(number) => Some(*number),
            // SQLite keeps 5.0 as 5 where the column allows it.
            SqlValue::Integer(number) if number.unsigned_abs() <= EXACT_MAX => Some(*number as f64),
            _ => None,
        }
    }
}

impl FromSqlValue for String {
    const KIND: &'static str = "text";

    fn from_sql_value(value: &SqlValue) -> Option<Self> {
        match value {
            SqlValue::Text(text) => Some(text.clone()),
            _ => None,
        }
    }
}

impl FromSqlValue for Vec<u8> {
    const KIND: &'static str = "bytes";

    fn from_sql_value(value: &SqlValue) -> Option<Self> {
        match value {
            SqlValue::Bytes(bytes) => Some(bytes.clone()),
            _ => None,
        }
    }
}

impl FromSqlValue for Value {
    const KIND: &'static str = "JSON";

    fn from_sql_value(value: &SqlValue) -> Option<Self> {
        match value {
            SqlValue::Json(value) => Some(value.clone()),
            // SQLite's JSON.
            SqlValue::Text(text) => serde_json::from_str(text).ok(),
            _ => None,
        }
    }
}

impl FromSqlValue for Timestamp {
    const KIND: &'static str = "a timestamp";

    fn from_sql_value(value: &SqlValue) -> Option<Self> {
        match value {
            SqlValue::Timestamp(time) => Some(*time),
            // SQLite's times.
            SqlValue::Text(text) => text.parse().ok(),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row() -> SqlRow {
        let columns: Vec<String> = ["id", "count", "paid", "note"].map(str::to_owned).into();
        let values = vec!["a".into(), SqlValue::Integer(70_000), SqlValue::Integer(1), SqlValue::Null];
        SqlRow::new(columns.into(), values)
    }

    #[test]
    fn columns_are_read_as_what_is_asked_for() {
        let row = row();
        assert_eq!(row.get::<String>("id").expect("text"), "a");
        assert_eq!(row.at::<i64>(1).expect("a number"), 70_000);
        assert!(row.get::<bool>("paid").expect("a boolean"));
        assert_eq!(row.get::<Option<String>>("note").expect("NULL"), None);
        assert_eq!(row.get::<Option<i32>>("count").expect("a number"), Some(70_000));
    }

    #[test]
    fn errors_name_the_column_and_what_it_is() {
        let row = row();
        let told = |error: SqlError| error.to_string();
        assert_eq!(
            told(row.get::<String>("email").unwrap_err()),
            "the row has no column email; it has id, count, paid, note"
        );
        assert_eq!(told(row.at::<i64>(4).unwrap_err()), "the row has no column number 4; it has 4, counted from 0");
        assert_eq!(told(row.get::<i64>("id").unwrap_err()), "column id is text and not a whole number of 64 bits");
        assert_eq!(
            told(row.at::<i16>(1).unwrap_err()),
            "column count is a whole number and not a whole number of 16 bits"
        );
        assert_eq!(told(row.at::<String>(3).unwrap_err()), "column note is NULL and not text; read it as an Option");
    }
}
