//! Values as they go into statements and come out of them.

use jiff::Timestamp;
use serde_json::Value;

/// A parameter of a statement, or a column of a row.
///
/// What a parameter may be used for:
///
/// | value | PostgreSQL | SQLite |
/// |---|---|---|
/// | `Null` | every type | NULL |
/// | `Bool` | `bool` | 0 or 1 |
/// | `Integer` | `int2`, `int4`, `int8` (checked for range), `oid`, `numeric`, `float4`, `float8` | INTEGER |
/// | `Real` | `float4`, `float8`, `numeric` | REAL |
/// | `Text` | texts, enums, `numeric`, `uuid`, dates, times, and every type that is neither a boolean, a binary number nor bytes; no NUL | TEXT |
/// | `Bytes` | `bytea` | BLOB |
/// | `Json` | `jsonb`, `json`, texts | TEXT |
/// | `Timestamp` | `timestamptz`, `timestamp` (as UTC), both in microseconds | TEXT, ISO 8601 in UTC with microseconds |
///
/// Columns come back as the same; PostgreSQL's `numeric`, `uuid`, enums, `date`, `time` and `timestamp` without zone are `Text`. SQLite has
/// no booleans, JSON, decimals and times of its own: decimals that must stay exact belong into TEXT columns there, and the others are `Integer` and `Text`, and [`crate::SqlRow::get`] reads them as what is asked for.
#[derive(Debug, Clone, PartialEq)]
pub enum SqlValue {
    /// NULL.
    Null,
    /// A boolean.
    Bool(bool),
    /// A whole number.
    Integer(i64),
    /// A floating-point number.
    Real(f64),
    /// Text.
    Text(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// JSON.
    Json(Value),
    /// A moment.
    Timestamp(Timestamp),
}

impl SqlValue {
    /// How messages call its type.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "NULL",
            Self::Bool(_) => "a boolean",
            Self::Integer(_) => "a whole number",
            Self::Real(_) => "a floating-point number",
            Self::Text(_) => "text",
            Self::Bytes(_) => "bytes",
            Self::Json(_) => "JSON",
            Self::Timestamp(_) => "a timestamp",
        }
    }
}

macro_rules! from {
    ($($type:ty, $value:ident => $made:expr;)+) => {
        $(impl From<$type> for SqlValue {
            fn from($value: $type) -> Self {
                $made
            }
        })+
    };
}

from! {
    bool, value => Self::Bool(value);
    i16, value => Self::Integer(value.into());
    i32, value => Self::Integer(value.into());
    i64, value => Self::Integer(value);
    u8, value => Self::Integer(value.into());
    u16, value => Self::Integer(value.into());
    u32, value => Self::Integer(value.into());
    f32, value => Self::Real(value.into());
    f64, value => Self::Real(value);
    &str, value => Self::Text(value.to_owned());
    &String, value => Self::Text(value.clone());
    String, value => Self::Text(value);
    &[u8], value => Self::Bytes(value.to_vec());
    Vec<u8>, value => Self::Bytes(value);
    Value, value => Self::Json(value);
    &Value, value => Self::Json(value.clone());
    Timestamp, value => Self::Timestamp(value);
}

impl<T: Into<SqlValue>> From<Option<T>> for SqlValue {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}
