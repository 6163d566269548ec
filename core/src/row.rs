//! A row on its way into a mirrored table.

use std::ops::Range;

/// One column value. Text is already free of NUL characters, JSON is already sanitised.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// SQL NULL.
    Null,
    /// Text, and the ids of references.
    Text(String),
    /// A whole number.
    BigInt(i64),
    /// True or false.
    Boolean(bool),
    /// A decimal number as Stripe wrote it, for `numeric` and `double precision` columns.
    Decimal(String),
    /// A JSON document.
    Json(String),
    /// The JSON document that stands in [`Row::raw`] at these bytes, and which is what the column's own source finds there: the first
    /// of its alternatives that is present and not null. PostgreSQL takes it from the parsed document instead of reading the same
    /// text twice.
    InRaw(Range<usize>),
}

/// Orders what happened to one object inside one second; see `mirror::law`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(i16)]
pub enum Rank {
    /// Embedded in another object's event: weaker than the object's own event of the same second.
    Embedded = 0,
    /// The object's own event.
    Event = 1,
    /// A read from Stripe's API of that second.
    Read = 2,
}

impl Rank {
    /// The rank stored as `value`; unknown values count as [`Rank::Event`].
    pub fn from_stored(value: i16) -> Self {
        match value {
            0 => Self::Embedded,
            2 => Self::Read,
            _ => Self::Event,
        }
    }
}

/// The position of a state in an object's history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Version {
    /// Unix seconds: `event.created`, or the time of a read.
    pub time: i64,
    /// Decides between sources inside that second.
    pub rank: Rank,
}

/// A projected object: what the upsert writes.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// Position of the table in the catalogue.
    pub table: usize,
    /// Primary key.
    pub id: String,
    /// One value for each of the table's columns, in their order. `Null` stands at the places of meta columns. In a JSON column
    /// of an object's own property, `Null` says that `raw` has nothing there either.
    pub values: Vec<Value>,
    /// The whole object, sanitised JSON: `_raw_data`.
    pub raw: String,
    /// Owner of the row: `_account_id`.
    pub account: String,
    /// Where the state stands in the object's history.
    pub version: Version,
    /// The event that carried it; empty for a read.
    pub source_event: String,
    /// A deletion stub (`{id, object, deleted}`): it says that the object is gone and nothing about its other columns, which
    /// keep what they held.
    pub stub: bool,
    /// Whether this state may bring a deleted row back: a `*.created` event or a successful read.
    pub revives: bool,
}

impl Row {
    /// The JSON document of a value of this row; `None` for a value of another kind.
    pub fn json<'row>(&'row self, value: &'row Value) -> Option<&'row str> {
        match value {
            Value::Json(document) => Some(document),
            Value::InRaw(range) => self.raw.get(range.clone()),
            _ => None,
        }
    }
}
