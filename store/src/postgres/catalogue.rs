//! The mirror's tables: made and widened to what the catalogue says, whatever an older engine left there.

use std::collections::{BTreeMap, HashMap};

use billhook_core::failpoint;

use super::catalogue_plan::{Existing, ExistingColumn, Plan};
use super::names::quote;
use super::session::{Patience, Session};
use super::{Shared, column, links, statements};
use crate::{MigrationReport, StoreError};

/// Statements sent in one round trip. A few hundred keep one message small and make the number of round trips irrelevant.
const STATEMENTS_PER_ROUND_TRIP_MAX: usize = 200;

/// Where a table `events` of an older engine goes: its place is taken by the view over the inbox.
const EVENTS: &str = "events";
const EVENTS_BEFORE: &str = "events_before_billhook";

/// Runs inside the migration's transaction.
pub(super) async fn migrate(
    session: &mut Session,
    shared: &Shared,
    report: &mut MigrationReport,
) -> Result<(), StoreError> {
    let (schema_exists, has_lz4) = server(session, shared).await?;
    if !schema_exists {
        session.batch("making the mirror's schema", &format!("CREATE SCHEMA {}", shared.mirror.quoted())).await?;
    }
    let mut existing = existing(session, shared).await?;
    let makes_view = !shared.tables.iter().any(|table| table.name == EVENTS);
    if makes_view {
        make_way_for_events(session, shared, &mut existing, report).await?;
    }
    let plan = Plan::make(&shared.mirror, shared.tables, &existing, has_lz4)?;
    for statements in plan.statements.chunks(STATEMENTS_PER_ROUND_TRIP_MAX) {
        session.renew(Patience::Migration);
        session.batch("changing the mirror's tables", &statements.join(";\n")).await?;
        failpoint::hit("mid_migration");
    }
    if makes_view {
        let view = statements::EVENTS_VIEW.replace(statements::MIRROR, shared.mirror.quoted());
        session.batch("making the view over the events", &view).await?;
    }
    report.tables_created += plan.tables_created;
    report.columns_added += plan.columns_added;
    report.notes.extend(plan.notes);
    Ok(())
}

async fn server(session: &Session, shared: &Shared) -> Result<(bool, bool), StoreError> {
    let operation = "asking what the server can do";
    let rows = session.query(operation, statements::CATALOGUE_SERVER, &[&shared.mirror.bare()]).await?;
    rows.first().map_or(Ok((false, false)), |row| Ok((column(row, 0)?, column(row, 1)?)))
}

async fn existing(session: &Session, shared: &Shared) -> Result<Existing, StoreError> {
    let operation = "reading the mirror's schema";
    let schema = shared.mirror.bare();
    let mut existing =
        Existing { kinds: HashMap::new(), columns: BTreeMap::new(), indexed: HashMap::new(), foreign_keys: Vec::new() };
    for row in &session.query(operation, statements::CATALOGUE_COLUMNS, &[&schema]).await? {
        let table: String = column(row, 0)?;
        existing.kinds.insert(table.clone(), column(row, 1)?);
        let found = ExistingColumn {
            type_name: column(row, 3)?,
            is_enum: column(row, 4)?,
            is_required: column(row, 5)?,
            has_default: column(row, 6)?,
            is_generated: column(row, 7)?,
        };
        existing.columns.entry(table).or_default().insert(column(row, 2)?, found);
    }
    for row in &session.query(operation, statements::CATALOGUE_INDEXES, &[&schema]).await? {
        existing.indexed.insert((column(row, 0)?, column(row, 1)?), column(row, 2)?);
    }
    for row in &session.query(operation, statements::CATALOGUE_FOREIGN_KEYS, &[&schema]).await? {
        existing.foreign_keys.push((column(row, 0)?, column(row, 1)?));
    }
    Ok(existing)
}

async fn make_way_for_events(
    session: &Session,
    shared: &Shared,
    existing: &mut Existing,
    report: &mut MigrationReport,
) -> Result<(), StoreError> {
    if !existing.is_table(EVENTS) {
        return Ok(());
    }
    let schema = shared.mirror.quoted();
    if existing.kinds.contains_key(EVENTS_BEFORE) {
        return Err(StoreError::Configuration(format!(
            "the schema {schema} has the tables {EVENTS} and {EVENTS_BEFORE}; rename or remove one of them, then migrate again"
        )));
    }
    let rename = format!("ALTER TABLE {schema}.{} RENAME TO {}", quote(EVENTS), quote(EVENTS_BEFORE));
    session.batch("renaming the older table of events", &rename).await?;
    existing.forget(EVENTS);
    report
        .notes
        .push(format!("the table {EVENTS} was renamed to {EVENTS_BEFORE}; {EVENTS} is now a view over the inbox"));
    Ok(())
}

/// Indexes that no single column of the catalogue describes: table, name, and what is indexed.
pub(super) fn indexes_by_hand(
    tables: &[billhook_core::table::Table],
) -> &'static [(&'static str, &'static str, &'static str)] {
    if links::are_linked(tables) { links::INDEXES } else { &[] }
}
