//! The shape of a mirrored table. The content comes from the catalogue (crate `stripe`); the SQL comes from crate `store`.

/// How a column is stored. The names are Billhook's; each dialect maps them to its own types.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ColumnType {
    /// PostgreSQL `text`, SQLite `TEXT`.
    Text,
    /// PostgreSQL `bigint`, SQLite `BIGINT`. Amounts and Unix seconds.
    BigInt,
    /// PostgreSQL `boolean`, SQLite `BOOLEAN` (0 or 1).
    Boolean,
    /// PostgreSQL `numeric`, SQLite `DECIMAL`. Percentages and rates; never a binary float.
    Numeric,
    /// PostgreSQL `double precision`, SQLite `REAL`. Only for columns that the existing engines have as `float8`.
    Double,
    /// PostgreSQL `jsonb`, SQLite `JSONB` holding JSON text.
    Json,
    /// PostgreSQL `timestamptz`, SQLite `DATETIME` as ISO 8601 text with `T` and `Z`.
    Timestamp,
}

/// Where a column's value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The first alternative that is present and not null.
    Object(Vec<Expression>),
    /// The first alternative that is present in the object itself; else the id of the parent object, when the row comes from a
    /// [`ChildList`] whose `parent_column` is this column (`subscription_items.subscription`); else null.
    ParentId(Vec<Expression>),
    /// A property of the parent object (`active_entitlements.customer`).
    Parent(Vec<String>),
    /// Always null: a column of an older engine that Stripe no longer fills.
    Null,
    /// Written by the store itself: `_raw_data`, `_account_id`, versions and times of synchronisation.
    Meta(Meta),
    /// Filled from another table when either side changes (`charges.invoice`); the object's own value wins when present.
    Linked(Vec<Expression>),
}

/// The columns that every mirrored table carries besides Stripe's own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Meta {
    /// `_raw_data`: the whole object, sanitised JSON.
    RawData,
    /// `_account_id`: the Stripe account that owns the row; empty for the account of this installation when unknown.
    AccountId,
    /// `last_synced_at` and `_last_synced_at`: time of the applied event, or of the read.
    SyncedAt,
    /// `updated_at`: when Billhook wrote the row.
    UpdatedAt,
    /// `_updated_at`: the object's own version time, same value as `_version_time` as a timestamp.
    VersionAt,
    /// `_version_time`: Unix seconds of the applied event or read; the ordering law compares it.
    VersionTime,
    /// `_version_rank`: orders sources inside one second, see [`crate::row::Rank`].
    VersionRank,
    /// `_source_event`: id of the event that wrote the row; empty for a read.
    SourceEvent,
}

/// One way to compute a column from an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Expression {
    /// The value at a path.
    Value(Path),
    /// The id at a path: a string as it is, or the `id` of an expanded or deleted object.
    Id(Path),
    /// True when the value at the path equals the literal, false when it is another string, null when absent.
    Equals(Path, String),
    /// The sum of the integers at a path that passes through arrays; null when there is none.
    Sum(Path),
    /// The least integer at a path that passes through arrays; null when there is none.
    Min(Path),
    /// The greatest integer at a path that passes through arrays; null when there is none.
    Max(Path),
}

/// A path into a JSON object.
pub type Path = Vec<Segment>;

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// A property.
    Key(String),
    /// One element of an array, counted from 0.
    Index(usize),
    /// Every element of an array.
    Every,
}

/// A column of a mirrored table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Column {
    /// Stripe's field name, unchanged; always quoted in SQL.
    pub name: String,
    /// How it is stored.
    pub column_type: ColumnType,
    /// Whether an index is made for it.
    pub indexed: bool,
    /// Where the value comes from.
    pub source: Source,
}

impl Column {
    /// The paths of a JSON column whose value stands in the object under keys alone, in the order of its alternatives; `None` for
    /// a column of another kind or one whose value comes from elsewhere. A place in an array is left out: PostgreSQL takes a text
    /// or a number for an array of one.
    pub fn json_paths(&self) -> Option<Vec<&Path>> {
        let Source::Object(expressions) = &self.source else { return None };
        if self.column_type != ColumnType::Json {
            return None;
        }
        fn path(expression: &Expression) -> Option<&Path> {
            let Expression::Value(path) = expression else { return None };
            let is_plain = |segment: &Segment| matches!(segment, Segment::Key(_));
            (!path.is_empty() && path.iter().all(is_plain)).then_some(path)
        }
        expressions.iter().map(path).collect()
    }
}

/// What a deletion event does to the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OnDelete {
    /// The row stays and its `deleted` column becomes true (customers, invoices).
    Flag,
    /// The row is removed and a tombstone remembers when (products, prices, plans, tax ids, …).
    Remove,
    /// A `.deleted` event only means a new state (`customer.subscription.deleted` = ended).
    Keep,
}

/// What happens to child rows that a complete list no longer names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Orphans {
    /// `deleted` becomes true (`subscription_items`).
    Flag,
    /// The rows are removed (invoice lines, active entitlements).
    Remove,
    /// Nothing: the children have events of their own (refunds of a charge).
    Keep,
}

/// A list embedded in an object whose elements have a table of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChildList {
    /// Property of the parent that holds the list object.
    pub property: String,
    /// Index of the children's table in the catalogue. Elements of another kind are dispatched by their own `object`.
    pub table: usize,
    /// Column of the child's table that holds the parent's id, when it has one.
    pub parent_column: Option<usize>,
    /// What happens to rows that a complete list no longer names.
    pub orphans: Orphans,
}

/// What the primary key of a row is taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Key {
    /// The object's `id`.
    Id,
    /// The owning account: a singleton (`balance`); the row's id is the account id or `self`.
    Account,
    /// A reference to another object (`customer` of a cash balance).
    Property(String),
}

/// A mirrored table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Table {
    /// Position in the catalogue: what [`crate::row::Row::table`] refers to.
    pub index: usize,
    /// Bare name, e.g. `customers`. In PostgreSQL it lives in the mirror's schema.
    pub name: String,
    /// Stripe's kind, e.g. `customer`. Empty for `other_objects`, which takes every unknown kind.
    pub object: String,
    /// What identifies a row.
    pub key: Key,
    /// All columns; the first is `id`, which always holds the row's key, whatever its source.
    pub columns: Vec<Column>,
    /// What a deletion event does.
    pub on_delete: OnDelete,
    /// Lists whose elements are rows of other tables.
    pub children: Vec<ChildList>,
}

/// Longest identifier PostgreSQL keeps, in bytes; it cuts off the rest without an error.
pub const IDENTIFIER_BYTES_MAX: usize = 63;

impl Table {
    /// Position of a column by its name.
    pub fn column(&self, name: &str) -> Option<usize> {
        self.columns.iter().position(|column| column.name == name)
    }

    /// Name of the index on one of this table's columns, at most [`IDENTIFIER_BYTES_MAX`] bytes long.
    ///
    /// The names are those of the existing engines (`stripe_<table>_<column>_idx`, with their two exceptions), so that an index
    /// that is there already is recognised. A name that would be too long keeps its beginning and ends in a hash of the whole.
    pub fn index_name(&self, column: &Column) -> String {
        match (self.name.as_str(), column.name.as_str()) {
            ("disputes", "created") => return "stripe_dispute_created_idx".to_owned(),
            ("checkout_session_line_items", "checkout_session") => {
                return "stripe_checkout_session_line_items_session_idx".to_owned();
            }
            _ => {}
        }
        let name = format!("stripe_{}_{}_idx", self.name, column.name);
        if name.len() <= IDENTIFIER_BYTES_MAX {
            return name;
        }
        let ending = format!("_{:08x}_idx", fnv1a(name.as_bytes()));
        let kept: String = name.chars().take_while(char::is_ascii).take(IDENTIFIER_BYTES_MAX - ending.len()).collect();
        format!("{kept}{ending}")
    }
}

/// The 32-bit FNV-1a hash: tells long index names apart, and stays the same on every machine and in every release.
fn fnv1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}
