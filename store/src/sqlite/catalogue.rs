//! The mirror's tables as the catalogue describes them. What is missing is made; nothing is dropped or changed.
//!
//! Declared types are those that Prisma understands. No table is STRICT: strict tables allow no such names.

use std::collections::HashSet;

use billhook_core::failpoint;
use billhook_core::table::{Column, ColumnType, Table};
use rusqlite::fallible_iterator::FallibleIterator;
use rusqlite::{Batch, Connection};

use super::statements::{DELETED, Statements, quoted};
use super::{link, settings};

/// Setting that holds the greatest revision of the catalogue the database has seen.
pub(super) const REVISION: &str = "catalogue_revision";

/// What bringing the mirror up to date made.
#[derive(Debug, Default)]
pub(super) struct Made {
    pub(super) tables: usize,
    pub(super) columns: usize,
}

/// Revision of the catalogue the mirror's tables were made for; 0 when there are none yet.
pub(super) fn stored_revision(connection: &Connection) -> rusqlite::Result<i64> {
    Ok(settings::read(connection, REVISION)?.and_then(|text| text.parse().ok()).unwrap_or(0))
}

/// Makes what the catalogue has and the database has not, inside the caller's transaction.
pub(super) fn complete(connection: &Connection, statements: &Statements, revision: i64) -> rusqlite::Result<Made> {
    let mut made = Made::default();
    for table in statements.tables() {
        complete_table(connection, table, &mut made)?;
        failpoint::hit("mid_migration");
    }
    if link::applies(statements.tables()) {
        let mut batch = Batch::new(connection, link::INDEXES);
        while let Some(mut statement) = batch.next()? {
            statement.execute([])?;
        }
    }
    settings::write(connection, REVISION, &revision.to_string())?;
    Ok(made)
}

fn complete_table(connection: &Connection, table: &Table, made: &mut Made) -> rusqlite::Result<()> {
    let present = present_columns(connection, &table.name)?;
    if present.is_empty() {
        connection.execute_batch(&create_table(table))?;
        made.tables += 1;
    } else {
        for column in table.columns.iter().filter(|column| !present.contains(&column.name)) {
            connection.execute_batch(&format!(
                "ALTER TABLE {} ADD COLUMN {}",
                quoted(&table.name),
                definition(column)
            ))?;
            made.columns += 1;
        }
    }
    for column in table.columns.iter().filter(|column| column.indexed) {
        connection.execute_batch(&format!(
            "CREATE INDEX IF NOT EXISTS {} ON {} ({})",
            quoted(&table.index_name(column)),
            quoted(&table.name),
            quoted(&column.name)
        ))?;
    }
    Ok(())
}

fn present_columns(connection: &Connection, table: &str) -> rusqlite::Result<HashSet<String>> {
    let mut statement = connection.prepare_cached("SELECT name FROM pragma_table_info(?1)")?;
    statement.query_map([table], |row| row.get(0))?.collect()
}

fn create_table(table: &Table) -> String {
    let columns: Vec<String> = table
        .columns
        .iter()
        .enumerate()
        .map(|(position, column)| match position {
            // A nullable key would hide the table from Prisma.
            0 => format!("{} TEXT NOT NULL PRIMARY KEY", quoted(&column.name)),
            _ => definition(column),
        })
        .collect();
    format!("CREATE TABLE {} ({})", quoted(&table.name), columns.join(", "))
}

fn definition(column: &Column) -> String {
    let default = if column.name == DELETED { " DEFAULT false" } else { "" };
    format!("{} {}{default}", quoted(&column.name), declared_type(column.column_type))
}

fn declared_type(column_type: ColumnType) -> &'static str {
    match column_type {
        ColumnType::Text => "TEXT",
        ColumnType::BigInt => "BIGINT",
        ColumnType::Boolean => "BOOLEAN",
        ColumnType::Numeric => "DECIMAL",
        ColumnType::Double => "REAL",
        ColumnType::Json => "JSONB",
        ColumnType::Timestamp => "DATETIME",
    }
}
