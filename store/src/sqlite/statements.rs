//! The SQL of the mirror's tables, made from the catalogue. Names come from the catalogue only, never from input.

use std::sync::OnceLock;

use billhook_core::table::{Column, Meta, OnDelete, Source, Table};

use super::link;
use crate::{Guard, StoreError};

/// Name of the column that says that an object is gone. It is never NULL: readers write `WHERE NOT deleted`.
pub(super) const DELETED: &str = "deleted";

/// Guards times full row or stub.
const UPSERT_VARIANTS: usize = 6;

/// The upserts of every table, each made when it is first needed.
pub(super) struct Statements {
    tables: &'static [Table],
    upserts: Vec<[OnceLock<String>; UPSERT_VARIANTS]>,
    links: bool,
}

impl Statements {
    pub(super) fn new(tables: &'static [Table]) -> Self {
        Self { tables, upserts: tables.iter().map(|_table| Default::default()).collect(), links: link::applies(tables) }
    }

    /// The catalogue's tables.
    pub(super) fn tables(&self) -> &'static [Table] {
        self.tables
    }

    /// Whether the catalogue has the tables that [`link`] connects.
    pub(super) fn links(&self) -> bool {
        self.links
    }

    /// The table at a position of the catalogue.
    pub(super) fn table(&self, index: usize) -> Result<&'static Table, StoreError> {
        self.tables.get(index).ok_or_else(|| {
            StoreError::Configuration(format!(
                "the store was opened without a table at position {index} of the catalogue"
            ))
        })
    }

    /// The upsert of a table; see [`upsert`].
    pub(super) fn upsert(&self, table: &'static Table, guard: Guard, stub: bool) -> Result<&str, StoreError> {
        let variant = 2 * (guard as usize) + usize::from(stub);
        self.upserts
            .get(table.index)
            .and_then(|variants| variants.get(variant))
            .map(|text| text.get_or_init(|| upsert(table, guard, stub)).as_str())
            .ok_or_else(|| {
                StoreError::Configuration(format!(
                    "table {} is not of the catalogue the store was opened with",
                    table.name
                ))
            })
    }
}

/// A name as SQL writes it.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A text as SQL writes it.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Whether deletions of this table's objects leave tombstones.
fn has_tombstones(table: &Table) -> bool {
    table.on_delete != OnDelete::Keep
}

/// Position (from 1) of the parameter that says whether a row revives, for tables with tombstones.
pub(super) fn revives_parameter(table: &Table, guard: Guard) -> Option<usize> {
    (has_tombstones(table) && guard != Guard::Always).then_some(table.columns.len() + 1)
}

/// One row: parameter n is the value of column n; behind them stand, where [`revives_parameter`] says so, whether the row
/// revives, and its time. It changes one row when the guard lets it and none otherwise.
fn upsert(table: &Table, guard: Guard, stub: bool) -> String {
    let names: Vec<String> = table.columns.iter().map(|column| quoted(&column.name)).collect();
    let parameters: Vec<String> = (1..=names.len()).map(|position| format!("?{position}")).collect();
    let assignments: Vec<String> = table
        .columns
        .iter()
        .skip(1)
        .filter(|column| !stub || stub_replaces(column))
        .map(|column| assignment(column, "excluded"))
        .collect();
    let living = match revives_parameter(table, guard) {
        Some(revives) => format!(
            "NOT EXISTS (SELECT 1 FROM billhook_tombstones AS buried WHERE buried.table_name = {} AND buried.id = ?1 \
             AND NOT (?{revives} AND ?{} > buried.time))",
            literal(&table.name),
            revives + 1
        ),
        // SQLite needs a WHERE between SELECT and ON CONFLICT, else it reads ON as part of a join.
        None => "true".to_owned(),
    };
    format!(
        "INSERT INTO {table} AS stored ({names}) SELECT {parameters} WHERE {living} \
         ON CONFLICT (\"id\") DO UPDATE SET {assignments}{newer}",
        table = quoted(&table.name),
        names = names.join(", "),
        parameters = parameters.join(", "),
        assignments = assignments.join(", "),
        newer = version_condition(guard),
    )
}

/// A row without a version (from before Billhook) gives way to any.
fn version_condition(guard: Guard) -> String {
    let compare = match guard {
        Guard::Newer => ">",
        Guard::NotOlder => ">=",
        Guard::Always => return String::new(),
    };
    format!(
        " WHERE stored._version_time IS NULL OR (excluded._version_time, excluded._version_rank) {compare} \
         (stored._version_time, coalesce(stored._version_rank, 1))"
    )
}

/// What a deletion stub knows.
fn stub_replaces(column: &Column) -> bool {
    match &column.source {
        Source::Meta(meta) => *meta != Meta::RawData,
        _ => column.name == DELETED,
    }
}

/// Columns that come from elsewhere keep what they hold when the new state says nothing about them.
pub(super) fn assignment(column: &Column, new: &str) -> String {
    let name = quoted(&column.name);
    match &column.source {
        Source::Linked(_) | Source::ParentId(_) | Source::Parent(_) => {
            format!("{name} = coalesce({new}.{name}, stored.{name})")
        }
        Source::Object(_) | Source::Null | Source::Meta(_) => format!("{name} = {new}.{name}"),
    }
}
