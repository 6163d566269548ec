//! A small catalogue that uses every feature of a table, and rows for it.

use std::sync::OnceLock;

use billhook_core::row::{Rank, Row, Value, Version};
use billhook_core::table::{
    ChildList, Column, ColumnType, Expression, Key, Meta, OnDelete, Orphans, Segment, Source, Table,
};

/// Every kind of column; deletions remove the row and leave a tombstone.
pub fn things() -> &'static Table {
    &all()[0]
}

/// Deletions flag the row; has children.
pub fn owners() -> &'static Table {
    &all()[1]
}

/// Children that are flagged.
pub fn parts() -> &'static Table {
    &all()[2]
}

/// Children that are removed.
pub fn lines() -> &'static Table {
    &all()[3]
}

/// A deletion is only a new state: no tombstones.
pub fn streams() -> &'static Table {
    &all()[4]
}

/// The whole catalogue.
pub fn all() -> &'static [Table] {
    static TABLES: OnceLock<Vec<Table>> = OnceLock::new();
    TABLES.get_or_init(|| {
        let things = vec![
            column("name", ColumnType::Text, true, object("name")),
            column("amount", ColumnType::BigInt, false, object("amount")),
            column("active", ColumnType::Boolean, false, object("active")),
            column("percent", ColumnType::Numeric, false, object("percent")),
            column("ratio", ColumnType::Double, false, object("ratio")),
            column("data", ColumnType::Json, false, object("data")),
            // A reserved word.
            column("order", ColumnType::Text, true, object("order")),
            column("legacy", ColumnType::Json, false, Source::Null),
            column("owner", ColumnType::Text, false, Source::Linked(vec![Expression::Id(path("owner"))])),
            column("deleted", ColumnType::Boolean, false, object("deleted")),
        ];
        let owners = vec![
            column("name", ColumnType::Text, false, object("name")),
            column("deleted", ColumnType::Boolean, false, object("deleted")),
        ];
        let child = || {
            vec![
                column("owner", ColumnType::Text, true, Source::ParentId(vec![Expression::Id(path("owner"))])),
                column("owner_name", ColumnType::Text, false, Source::Parent(vec!["name".to_owned()])),
                column("deleted", ColumnType::Boolean, false, object("deleted")),
            ]
        };
        let streams = vec![column("name", ColumnType::Text, false, object("name"))];
        let list = |property: &str, table, orphans| ChildList {
            property: property.to_owned(),
            table,
            parent_column: Some(OWNER_OF_CHILD),
            orphans,
        };
        let children = vec![list("parts", 2, Orphans::Flag), list("lines", 3, Orphans::Remove)];
        vec![
            table(0, "things", "thing", OnDelete::Remove, things, Vec::new()),
            table(1, "owners", "owner", OnDelete::Flag, owners, children),
            table(2, "parts", "part", OnDelete::Flag, child(), Vec::new()),
            table(3, "lines", "line", OnDelete::Remove, child(), Vec::new()),
            table(4, "streams", "stream", OnDelete::Keep, streams, Vec::new()),
        ]
    })
}

/// The same catalogue one revision later: `things` has a column more and there is one more table.
pub fn grown() -> &'static [Table] {
    static TABLES: OnceLock<Vec<Table>> = OnceLock::new();
    TABLES.get_or_init(|| {
        let mut tables = all().to_vec();
        tables[0].columns.push(column("colour", ColumnType::Text, true, object("colour")));
        let novel = vec![column("name", ColumnType::Text, false, object("name"))];
        tables.push(table(5, "novelties", "novelty", OnDelete::Keep, novel, Vec::new()));
        tables
    })
}

/// Position of the column `owner` in the children's tables.
pub const OWNER_OF_CHILD: usize = 2;

fn table(
    index: usize,
    name: &str,
    kind: &str,
    on_delete: OnDelete,
    columns: Vec<Column>,
    children: Vec<ChildList>,
) -> Table {
    let mut all = vec![
        column("id", ColumnType::Text, false, object("id")),
        column("object", ColumnType::Text, false, object("object")),
    ];
    all.extend(columns);
    all.extend([
        column("_raw_data", ColumnType::Json, false, Source::Meta(Meta::RawData)),
        column("_account_id", ColumnType::Text, false, Source::Meta(Meta::AccountId)),
        column("last_synced_at", ColumnType::Timestamp, false, Source::Meta(Meta::SyncedAt)),
        column("_last_synced_at", ColumnType::Timestamp, false, Source::Meta(Meta::SyncedAt)),
        column("updated_at", ColumnType::Timestamp, false, Source::Meta(Meta::UpdatedAt)),
        column("_updated_at", ColumnType::Timestamp, false, Source::Meta(Meta::VersionAt)),
        column("_version_time", ColumnType::BigInt, false, Source::Meta(Meta::VersionTime)),
        column("_version_rank", ColumnType::BigInt, false, Source::Meta(Meta::VersionRank)),
        column("_source_event", ColumnType::Text, false, Source::Meta(Meta::SourceEvent)),
    ]);
    Table { index, name: name.to_owned(), object: kind.to_owned(), key: Key::Id, columns: all, on_delete, children }
}

fn column(name: &str, column_type: ColumnType, indexed: bool, source: Source) -> Column {
    Column { name: name.to_owned(), column_type, indexed, source }
}

fn object(property: &str) -> Source {
    Source::Object(vec![Expression::Value(path(property))])
}

fn path(property: &str) -> Vec<Segment> {
    vec![Segment::Key(property.to_owned())]
}

/// A row of `table` with empty columns, as event `evt_<id>_<time>` at `time` carried it.
pub fn row(table: &'static Table, id: &str, time: i64) -> Row {
    Row {
        table: table.index,
        id: id.to_owned(),
        values: vec![Value::Null; table.columns.len()],
        raw: serde_json::json!({ "id": id, "time": time }).to_string(),
        account: "acct_1".to_owned(),
        version: Version { time, rank: Rank::Event },
        source_event: format!("evt_{id}_{time}"),
        stub: false,
        revives: false,
    }
    .with(table, "id", text(id))
    .with(table, "object", text(&table.object))
}

/// A text value.
pub fn text(value: &str) -> Value {
    Value::Text(value.to_owned())
}

/// What tests change in a row.
pub trait Draft: Sized {
    /// Sets a column.
    fn with(self, table: &Table, column: &str, value: Value) -> Self;
    /// Sets the rank of its version.
    fn rank(self, rank: Rank) -> Self;
    /// Makes it a deletion stub.
    fn stub(self, table: &Table) -> Self;
    /// Lets it bring a deleted row back.
    fn reviving(self) -> Self;
}

impl Draft for Row {
    fn with(mut self, table: &Table, column: &str, value: Value) -> Self {
        let position = table.column(column).unwrap_or_else(|| panic!("table {} has no column {column}", table.name));
        self.values[position] = value;
        self
    }

    fn rank(mut self, rank: Rank) -> Self {
        self.version.rank = rank;
        self
    }

    fn stub(mut self, table: &Table) -> Self {
        self.stub = true;
        self.with(table, "deleted", Value::Boolean(true))
    }

    fn reviving(mut self) -> Self {
        self.revives = true;
        self
    }
}
