//! Versions of Billhook's own tables.

use billhook_core::failpoint;
use ring::digest::{SHA256, digest};
use rusqlite::fallible_iterator::FallibleIterator;
use rusqlite::{Batch, Connection, Transaction, TransactionBehavior, params};

use super::catalogue;
use super::errors::refused;
use super::statements::Statements;
use super::{settings, times};
use crate::extension::ExtensionStep;
use crate::{MigrationReport, SchemaState, StoreError};

const OPERATION: &str = "the migration";

/// One step of the schema. It is never changed after a release.
struct Migration {
    version: i64,
    name: &'static str,
    sql: &'static str,
}

/// Every step, in order.
const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        name: "0001_foundation",
        sql: include_str!("../../sql/sqlite/migrations/0001_foundation.sql"),
    },
    Migration { version: 2, name: "0002_sync", sql: include_str!("../../sql/sqlite/migrations/0002_sync.sql") },
    Migration { version: 3, name: "0003_flow", sql: include_str!("../../sql/sqlite/migrations/0003_flow.sql") },
];

/// A step that the database has seen.
struct Applied {
    version: i64,
    checksum: String,
}

/// Brings the schema up to this program's version, one transaction a step.
pub(super) fn migrate(
    connection: &mut Connection,
    statements: &Statements,
    catalogue_revision: i64,
) -> Result<MigrationReport, StoreError> {
    let mut report = MigrationReport::default();
    for migration in MIGRATIONS {
        // The lock is taken before looking, so that two programs never apply the same step.
        let transaction = begin(connection)?;
        check(&transaction, MIGRATIONS)?;
        if applied(&transaction)?.iter().all(|applied| applied.version != migration.version) {
            apply(&transaction, migration).map_err(refused(OPERATION))?;
            report.applied.push(migration.name.to_owned());
        }
        transaction.commit().map_err(refused(OPERATION))?;
    }
    let transaction = begin(connection)?;
    if catalogue::stored_revision(&transaction).map_err(refused(OPERATION))? < catalogue_revision {
        let made = catalogue::complete(&transaction, statements, catalogue_revision)
            .map_err(refused("the mirror's tables"))?;
        report.applied.push(catalogue_name(catalogue_revision));
        report.tables_created = made.tables;
        report.columns_added = made.columns;
    }
    transaction.commit().map_err(refused(OPERATION))?;
    Ok(report)
}

/// Applies what is missing of an extension, one transaction a step.
pub(super) fn migrate_extension(
    connection: &mut Connection,
    steps: Vec<ExtensionStep>,
) -> Result<Vec<String>, StoreError> {
    let mut names = Vec::new();
    for step in steps {
        let transaction = begin(connection)?;
        let setting = step.setting();
        let applied = settings::read(&transaction, &setting).map_err(refused(OPERATION))?;
        if step.is_missing(applied.as_deref())? {
            execute(&transaction, step.sql).map_err(refused(OPERATION))?;
            settings::write(&transaction, &setting, &step.checksum).map_err(refused(OPERATION))?;
            names.push(step.name);
        }
        transaction.commit().map_err(refused(OPERATION))?;
    }
    Ok(names)
}

/// Compares the schema with this program's.
pub(super) fn state(connection: &Connection, catalogue_revision: i64) -> Result<SchemaState, StoreError> {
    let found = applied(connection)?;
    if found.is_empty() {
        return Ok(SchemaState::Empty);
    }
    match check(connection, MIGRATIONS) {
        Err(StoreError::NewerSchema { .. }) => return Ok(SchemaState::Newer),
        other => other?,
    }
    let mut missing: Vec<String> = MIGRATIONS
        .iter()
        .filter(|migration| found.iter().all(|applied| applied.version != migration.version))
        .map(|migration| migration.name.to_owned())
        .collect();
    if catalogue::stored_revision(connection).map_err(refused("reading the schema"))? < catalogue_revision {
        missing.push(catalogue_name(catalogue_revision));
    }
    Ok(if missing.is_empty() { SchemaState::Current } else { SchemaState::Behind(missing) })
}

fn begin(connection: &mut Connection) -> Result<Transaction<'_>, StoreError> {
    Transaction::new(connection, TransactionBehavior::Immediate).map_err(refused(OPERATION))
}

/// Refuses a database that this program's steps do not lead to.
fn check(connection: &Connection, known: &[Migration]) -> Result<(), StoreError> {
    let greatest = known.iter().map(|migration| migration.version).max().unwrap_or(0);
    for applied in applied(connection)? {
        if applied.version > greatest {
            return Err(StoreError::NewerSchema { found: applied.version, known: greatest });
        }
        let same = known.iter().find(|migration| migration.version == applied.version);
        if let Some(migration) = same
            && checksum(migration.sql) != applied.checksum
        {
            return Err(StoreError::Checksum { name: migration.name.to_owned() });
        }
    }
    Ok(())
}

/// Steps that the database has seen; none when it is empty.
fn applied(connection: &Connection) -> Result<Vec<Applied>, StoreError> {
    let read = || {
        let exists = connection
            .prepare_cached("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'billhook_migrations'")?
            .exists([])?;
        if !exists {
            return Ok(Vec::new());
        }
        let mut statement =
            connection.prepare_cached("SELECT version, checksum FROM billhook_migrations ORDER BY version")?;
        let rows = statement.query_map([], |row| Ok(Applied { version: row.get(0)?, checksum: row.get(1)? }))?;
        rows.collect()
    };
    read().map_err(refused("reading the schema"))
}

fn apply(transaction: &Transaction<'_>, migration: &Migration) -> rusqlite::Result<()> {
    transaction.execute_batch(
        "CREATE TABLE IF NOT EXISTS billhook_migrations (version INTEGER PRIMARY KEY, name TEXT NOT NULL, \
         checksum TEXT NOT NULL, applied_at DATETIME NOT NULL)",
    )?;
    execute(transaction, migration.sql)?;
    transaction.execute(
        "INSERT INTO billhook_migrations (version, name, checksum, applied_at) VALUES (?1, ?2, ?3, ?4)",
        params![migration.version, migration.name, checksum(migration.sql), times::precise(times::now())],
    )?;
    Ok(())
}

/// Runs the statements of a step.
fn execute(transaction: &Transaction<'_>, sql: &str) -> rusqlite::Result<()> {
    let mut batch = Batch::new(transaction, sql);
    while let Some(mut statement) = batch.next()? {
        statement.execute([])?;
        failpoint::hit("mid_migration");
    }
    Ok(())
}

fn catalogue_name(revision: i64) -> String {
    format!("catalogue revision {revision}")
}

/// SHA-256 of a step's text, as hexadecimal digits.
fn checksum(sql: &str) -> String {
    digest(&SHA256, sql.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}
