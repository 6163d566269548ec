//! Columns that depend on rows of other tables: which invoice a charge paid, which charge a dispute is about.
//!
//! A column that holds something is left alone: what the object itself said wins.

use billhook_core::table::Table;
use rusqlite::{Connection, OptionalExtension};

/// Indexes that linking needs.
pub(super) const INDEXES: &str = include_str!("../../sql/sqlite/link_indexes.sql");

const CHARGES: &str = include_str!("../../sql/sqlite/link_charges.sql");
const PAYMENT_INTENTS: &str = include_str!("../../sql/sqlite/link_payment_intents.sql");
const INVOICES: &str = include_str!("../../sql/sqlite/link_invoices.sql");

/// Tables and columns that the statements name.
const NEEDED: &[(&str, &[&str])] = &[
    ("charges", &["invoice", "dispute", "payment_intent"]),
    ("payment_intents", &["invoice", "latest_charge"]),
    ("invoices", &["charge", "payment_intent"]),
    ("invoice_payments", &["invoice", "is_default", "payment"]),
    ("disputes", &["charge", "created"]),
];

/// Whether the catalogue has everything that linking names.
pub(super) fn applies(tables: &[Table]) -> bool {
    NEEDED.iter().all(|(name, columns)| {
        tables
            .iter()
            .find(|table| table.name == *name)
            .is_some_and(|table| columns.iter().all(|column| table.column(column).is_some()))
    })
}

/// Links rows of `table` with what they refer to and what refers to them.
pub(super) fn link(connection: &Connection, table: &Table, ids: &[String]) -> rusqlite::Result<()> {
    let link_one: fn(&Connection, &str) -> rusqlite::Result<()> = match table.name.as_str() {
        "charges" => charge,
        "payment_intents" => payment_intent,
        "invoices" => invoice,
        "invoice_payments" => invoice_payment,
        "disputes" => dispute,
        _ => return Ok(()),
    };
    ids.iter().try_for_each(|id| link_one(connection, id))
}

fn charge(connection: &Connection, id: &str) -> rusqlite::Result<()> {
    fill(connection, CHARGES, id)
}

fn invoice(connection: &Connection, id: &str) -> rusqlite::Result<()> {
    fill(connection, INVOICES, id)
}

/// An intent may name the charge of the invoice it pays.
fn payment_intent(connection: &Connection, id: &str) -> rusqlite::Result<()> {
    fill(connection, PAYMENT_INTENTS, id)?;
    match referred(connection, "SELECT invoice FROM payment_intents WHERE id = ?1", id)? {
        Some(paid) => invoice(connection, &paid),
        None => Ok(()),
    }
}

fn dispute(connection: &Connection, id: &str) -> rusqlite::Result<()> {
    match referred(connection, "SELECT charge FROM disputes WHERE id = ?1", id)? {
        Some(disputed) => charge(connection, &disputed),
        None => Ok(()),
    }
}

/// An invoice payment ties an invoice to an intent or a charge.
fn invoice_payment(connection: &Connection, id: &str) -> rusqlite::Result<()> {
    let ends = connection
        .prepare_cached(
            "SELECT invoice, CASE WHEN json_valid(payment) THEN payment ->> '$.charge' END, \
             CASE WHEN json_valid(payment) THEN payment ->> '$.payment_intent' END FROM invoice_payments WHERE id = ?1",
        )?
        .query_row([id], |row| {
            Ok((row.get::<_, Option<String>>(0)?, row.get::<_, Option<String>>(1)?, row.get::<_, Option<String>>(2)?))
        })
        .optional()?;
    let Some((paid, charged, intent)) = ends else { return Ok(()) };
    if let Some(charged) = charged {
        charge(connection, &charged)?;
    }
    if let Some(intent) = intent {
        fill(connection, PAYMENT_INTENTS, &intent)?;
        for charged in charges_of(connection, &intent)? {
            charge(connection, &charged)?;
        }
    }
    match paid {
        Some(paid) => invoice(connection, &paid),
        None => Ok(()),
    }
}

fn fill(connection: &Connection, sql: &str, id: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute([id]).map(|_changes| ())
}

fn referred(connection: &Connection, sql: &str, id: &str) -> rusqlite::Result<Option<String>> {
    let found = connection.prepare_cached(sql)?.query_row([id], |row| row.get::<_, Option<String>>(0)).optional()?;
    Ok(found.flatten())
}

fn charges_of(connection: &Connection, intent: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare_cached("SELECT id FROM charges WHERE payment_intent = ?1")?;
    statement.query_map([intent], |row| row.get(0))?.collect()
}
