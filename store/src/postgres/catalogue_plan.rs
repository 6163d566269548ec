//! What has to change in the mirror's schema: a pure comparison of what is there with what the catalogue wants.

use std::collections::{BTreeMap, HashMap};

use billhook_core::table::{Column, ColumnType, Meta, Source, Table};

use super::names::{MirrorSchema, quote};
use super::table_sql::type_name;
use super::{catalogue, links};
use crate::StoreError;

/// Rows up to this size keep their compressed `_raw_data` beside them. With the default of 2,032 an object of 4 KB goes to a
/// second table, which takes a fifth more time for each upsert.
const ROW_BYTES_TARGET: usize = 4080;

/// A column that is there.
#[derive(Debug, Clone)]
pub(super) struct ExistingColumn {
    /// As `format_type` writes it, without length.
    pub(super) type_name: String,
    pub(super) is_enum: bool,
    pub(super) is_required: bool,
    pub(super) has_default: bool,
    pub(super) is_generated: bool,
}

/// The mirror's schema as it is.
#[derive(Debug)]
pub(super) struct Existing {
    /// Relation kind by name: `r` and `p` are tables, others views.
    pub(super) kinds: HashMap<String, String>,
    pub(super) columns: BTreeMap<String, BTreeMap<String, ExistingColumn>>,
    /// Table and column with an index that begins with it; true when the index makes that column alone unique.
    pub(super) indexed: HashMap<(String, String), bool>,
    /// Table and name.
    pub(super) foreign_keys: Vec<(String, String)>,
}

impl Existing {
    pub(super) fn is_table(&self, name: &str) -> bool {
        self.kinds.get(name).is_some_and(|kind| matches!(kind.as_str(), "r" | "p"))
    }

    pub(super) fn forget(&mut self, name: &str) {
        self.kinds.remove(name);
        self.columns.remove(name);
    }

    fn has_index(&self, table: &str, column: &str) -> bool {
        self.indexed.contains_key(&(table.to_owned(), column.to_owned()))
    }
}

/// The statements and what to tell a person.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) statements: Vec<String>,
    pub(super) tables_created: usize,
    pub(super) columns_added: usize,
    pub(super) notes: Vec<String>,
}

impl Plan {
    pub(super) fn make(
        mirror: &MirrorSchema,
        tables: &[Table],
        existing: &Existing,
        has_lz4: bool,
    ) -> Result<Self, StoreError> {
        refuse_unwritable(mirror, tables, existing)?;
        let mut plan = Self::default();
        for table in tables {
            match existing.columns.get(&table.name) {
                None => plan.create(mirror, table, has_lz4),
                Some(columns) => plan.alter(mirror, table, columns)?,
            }
            plan.index(mirror, table, existing);
        }
        for (table, name, expression) in catalogue::indexes_by_hand(tables) {
            plan.statements.push(format!(
                "CREATE INDEX IF NOT EXISTS {} ON {}.{} {expression}",
                quote(name),
                mirror.quoted(),
                quote(table)
            ));
        }
        plan.release(mirror, tables, existing);
        Ok(plan)
    }

    fn create(&mut self, mirror: &MirrorSchema, table: &Table, has_lz4: bool) {
        let columns: Vec<String> = table.columns.iter().map(|column| define(column, has_lz4)).collect();
        self.statements.push(format!(
            "CREATE TABLE {} ({}, PRIMARY KEY (\"id\")) WITH (toast_tuple_target = {ROW_BYTES_TARGET})",
            mirror.table(table),
            columns.join(", ")
        ));
        self.tables_created += 1;
    }

    fn alter(
        &mut self,
        mirror: &MirrorSchema,
        table: &Table,
        existing: &BTreeMap<String, ExistingColumn>,
    ) -> Result<(), StoreError> {
        let mut changes = Vec::new();
        for column in &table.columns {
            match existing.get(&column.name) {
                None => {
                    changes.push(format!("ADD COLUMN {}", define(column, false)));
                    self.columns_added += 1;
                }
                Some(found) => changes.extend(self.widen(table, column, found)?),
            }
        }
        for (name, found) in existing {
            let is_kept = table.column(name).is_some_and(|at| at == 0 || is_required(&table.columns[at]));
            if found.is_required && !is_kept && (!found.has_default || table.column(name).is_some()) {
                changes.push(format!("ALTER COLUMN {} DROP NOT NULL", quote(name)));
            }
        }
        if !changes.is_empty() {
            self.statements.push(format!("ALTER TABLE {} {}", mirror.table(table), changes.join(", ")));
        }
        Ok(())
    }

    /// The change that lets an existing column hold what the catalogue's column holds.
    fn widen(&mut self, table: &Table, column: &Column, found: &ExistingColumn) -> Result<Option<String>, StoreError> {
        let wanted = type_name(column.column_type);
        let name = quote(&column.name);
        let using = match (found.type_name.as_str(), column.column_type) {
            (same, _) if same == wanted => return Ok(None),
            // Everything reads as text; lengths of varchar would refuse values.
            (_, ColumnType::Text) => format!("{name}::text"),
            ("smallint" | "integer", ColumnType::BigInt) => format!("{name}::bigint"),
            ("smallint" | "integer" | "bigint" | "double precision" | "real", ColumnType::Numeric) => {
                format!("{name}::numeric")
            }
            ("smallint" | "integer" | "real" | "numeric", ColumnType::Double) => format!("{name}::double precision"),
            ("json", ColumnType::Json) => format!("{name}::jsonb"),
            ("timestamp without time zone", ColumnType::Timestamp) => format!("{name} AT TIME ZONE 'UTC'"),
            (other, _) => {
                return Err(StoreError::Configuration(format!(
                    "the column {}.{} has the type {other}, which cannot become {wanted} without losing values; rename the \
                     column or the table, then migrate again",
                    table.name, column.name
                )));
            }
        };
        if found.is_enum || found.type_name != "integer" {
            self.notes.push(format!("{}.{} was widened from {} to {wanted}", table.name, column.name, found.type_name));
        }
        Ok(Some(format!("ALTER COLUMN {name} TYPE {wanted} USING {using}")))
    }

    fn index(&mut self, mirror: &MirrorSchema, table: &Table, existing: &Existing) {
        let is_new = !existing.columns.contains_key(&table.name);
        if !is_new && existing.indexed.get(&(table.name.clone(), "id".to_owned())) != Some(&true) {
            let name = quote(&format!("stripe_{}_id_key", table.name));
            self.statements.push(format!("CREATE UNIQUE INDEX {name} ON {} (\"id\")", mirror.table(table)));
        }
        let is_wanted = |column: &Column| {
            column.indexed || links::INDEXED_COLUMNS.contains(&(table.name.as_str(), column.name.as_str()))
        };
        for column in table.columns.iter().filter(|column| is_wanted(column)) {
            if !existing.has_index(&table.name, &column.name) {
                self.statements.push(format!(
                    "CREATE INDEX IF NOT EXISTS {} ON {} ({})",
                    quote(&table.index_name(column)),
                    mirror.table(table),
                    quote(&column.name)
                ));
            }
        }
    }

    /// Foreign keys would refuse a row whose other side arrives later. Nothing is lost without them.
    fn release(&mut self, mirror: &MirrorSchema, tables: &[Table], existing: &Existing) {
        for (table, name) in &existing.foreign_keys {
            if tables.iter().any(|known| known.name == *table) {
                self.statements.push(format!(
                    "ALTER TABLE {}.{} DROP CONSTRAINT {}",
                    mirror.quoted(),
                    quote(table),
                    quote(name)
                ));
                self.notes.push(format!("the foreign key {name} of {table} was removed: events arrive in any order"));
            }
        }
    }
}

/// Tables of the newer engines are generated from `_raw_data`; a view is nothing to write to either.
fn refuse_unwritable(mirror: &MirrorSchema, tables: &[Table], existing: &Existing) -> Result<(), StoreError> {
    let mut generated = Vec::new();
    for table in tables {
        let columns = existing.columns.get(&table.name);
        let has_generated = |column: &Column| {
            columns.and_then(|columns| columns.get(&column.name)).is_some_and(|found| found.is_generated)
        };
        if table.columns.iter().any(has_generated) {
            generated.push(table.name.as_str());
        }
        if columns.is_some() && !existing.is_table(&table.name) {
            return Err(StoreError::Configuration(format!(
                "{}.{} is a view and cannot be written; rename it, then migrate again",
                mirror.bare(),
                table.name
            )));
        }
    }
    if generated.is_empty() {
        return Ok(());
    }
    Err(StoreError::Configuration(format!(
        "the schema {schema} belongs to an engine whose columns are generated from _raw_data and cannot be written ({tables}); \
         move it aside with ALTER SCHEMA {schema} RENAME TO {schema}_before_billhook, or choose another schema for the mirror",
        schema = mirror.bare(),
        tables = generated.join(", ")
    )))
}

/// Columns that every write fills.
fn is_required(column: &Column) -> bool {
    column.name == "deleted" || column.source == Source::Meta(Meta::UpdatedAt)
}

/// A column's definition. Other columns stay nullable: a partial object must not lose its row.
fn define(column: &Column, has_lz4: bool) -> String {
    let name = quote(&column.name);
    let type_name = type_name(column.column_type);
    // Ten times as fast as the default, for nearly the same size.
    let compression = if has_lz4 && column.column_type == ColumnType::Json { " COMPRESSION lz4" } else { "" };
    let constraint = match column.name.as_str() {
        "id" => " NOT NULL",
        "deleted" => " NOT NULL DEFAULT false",
        _ if column.source == Source::Meta(Meta::UpdatedAt) => " NOT NULL DEFAULT now()",
        _ => "",
    };
    format!("{name} {type_name}{compression}{constraint}")
}
