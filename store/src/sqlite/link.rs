//! Columns that depend on rows of other tables: which invoice a charge paid, which charge a dispute is about.
//!
//! A column that holds something is left alone: what the object itself said wins. The choice among several rows is made here and
//! not with ORDER BY and LIMIT, because SQLite parses a statement with a parameter and a sort again at every execution, which
//! costs ten times as much as running it. When there is nothing to do, a row costs two or three index lookups, about 2 µs.

use std::cmp::Reverse;

use billhook_core::table::Table;
use rusqlite::{Connection, OptionalExtension, Row, params};

/// Indexes that linking needs.
pub(super) const INDEXES: &str = include_str!("../../sql/sqlite/link_indexes.sql");

/// What an invoice payment ties together. The expressions are those of the indexes.
const PAYMENTS: &str = "SELECT id, coalesce(is_default, false), invoice, \
     CASE WHEN json_valid(payment) THEN payment ->> '$.charge' END, \
     CASE WHEN json_valid(payment) THEN payment ->> '$.payment_intent' END FROM invoice_payments";
const OF_CHARGE: &str = "CASE WHEN json_valid(payment) THEN payment ->> '$.charge' END = ?1 AND invoice IS NOT NULL";
const OF_INTENT: &str =
    "CASE WHEN json_valid(payment) THEN payment ->> '$.payment_intent' END = ?1 AND invoice IS NOT NULL";
const OF_INVOICE: &str = "invoice = ?1";
const ITSELF: &str = "id = ?1";

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

/// An invoice payment: which invoice a charge or an intent paid.
struct Payment {
    id: String,
    is_default: bool,
    invoice: Option<String>,
    charge: Option<String>,
    payment_intent: Option<String>,
}

/// The default payment among those a condition finds, else the one with the least id.
fn payment(connection: &Connection, condition: &str, key: &str) -> rusqlite::Result<Option<Payment>> {
    let mut statement = connection.prepare_cached(&format!("{PAYMENTS} WHERE {condition}"))?;
    let read = |row: &Row<'_>| {
        Ok(Payment {
            id: row.get(0)?,
            is_default: row.get(1)?,
            invoice: row.get(2)?,
            charge: row.get(3)?,
            payment_intent: row.get(4)?,
        })
    };
    let found: Vec<Payment> = statement.query_map([key], read)?.collect::<rusqlite::Result<_>>()?;
    Ok(found.into_iter().max_by_key(|payment| (payment.is_default, Reverse(payment.id.clone()))))
}

/// Fills the invoice and the dispute of a charge.
fn charge(connection: &Connection, id: &str) -> rusqlite::Result<()> {
    type Links = (Option<String>, Option<String>, Option<String>);
    let links: Option<Links> = connection
        .prepare_cached("SELECT invoice, dispute, payment_intent FROM charges WHERE id = ?1")?
        .query_row([id], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((invoice, dispute, intent)) = links else { return Ok(()) };
    if invoice.is_none() {
        let mut found = payment(connection, OF_CHARGE, id)?;
        if let (None, Some(intent)) = (&found, intent) {
            found = payment(connection, OF_INTENT, &intent)?;
        }
        if let Some(invoice) = found.and_then(|payment| payment.invoice) {
            run(connection, "UPDATE charges SET invoice = ?2 WHERE id = ?1", id, Some(&invoice))?;
        }
    }
    if dispute.is_none()
        && let Some(dispute) = latest_dispute(connection, id)?
    {
        run(connection, "UPDATE charges SET dispute = ?2 WHERE id = ?1", id, Some(&dispute))?;
    }
    Ok(())
}

fn latest_dispute(connection: &Connection, charge: &str) -> rusqlite::Result<Option<String>> {
    let mut statement = connection.prepare_cached("SELECT created, id FROM disputes WHERE charge = ?1")?;
    let found: Vec<(Option<i64>, String)> =
        statement.query_map([charge], |row| Ok((row.get(0)?, row.get(1)?)))?.collect::<rusqlite::Result<_>>()?;
    Ok(found.into_iter().max_by_key(|(created, id)| (*created, Reverse(id.clone()))).map(|(_created, id)| id))
}

/// Fills the invoice of an intent, and the charge of an invoice that names only the intent.
fn payment_intent(connection: &Connection, id: &str) -> rusqlite::Result<()> {
    let Some(paid) = payment(connection, OF_INTENT, id)?.and_then(|payment| payment.invoice) else { return Ok(()) };
    run(connection, "UPDATE payment_intents SET invoice = ?2 WHERE id = ?1 AND invoice IS NULL", id, Some(&paid))?;
    invoice(connection, &paid)
}

/// Fills the charge and the intent of an invoice from its payment. A payment that names only its intent leads to the intent's
/// latest charge.
fn invoice(connection: &Connection, id: &str) -> rusqlite::Result<()> {
    let Some(payment) = payment(connection, OF_INVOICE, id)? else { return Ok(()) };
    let charge = match (&payment.charge, &payment.payment_intent) {
        (None, Some(intent)) => {
            referred(connection, "SELECT latest_charge FROM payment_intents WHERE id = ?1", intent)?
        }
        _ => payment.charge,
    };
    run(
        connection,
        "UPDATE invoices SET charge = ?2 WHERE id = ?1 AND charge IS NULL AND ?2 IS NOT NULL",
        id,
        charge.as_deref(),
    )?;
    run(
        connection,
        "UPDATE invoices SET payment_intent = ?2 WHERE id = ?1 AND payment_intent IS NULL AND ?2 IS NOT NULL",
        id,
        payment.payment_intent.as_deref(),
    )
}

fn dispute(connection: &Connection, id: &str) -> rusqlite::Result<()> {
    match referred(connection, "SELECT charge FROM disputes WHERE id = ?1", id)? {
        Some(disputed) => charge(connection, &disputed),
        None => Ok(()),
    }
}

/// An invoice payment ties an invoice to an intent or a charge: each of them may want to know.
fn invoice_payment(connection: &Connection, id: &str) -> rusqlite::Result<()> {
    let Some(payment) = payment(connection, ITSELF, id)? else { return Ok(()) };
    if let Some(charged) = &payment.charge {
        charge(connection, charged)?;
    }
    if let Some(intent) = &payment.payment_intent {
        payment_intent(connection, intent)?;
        for charged in charges_of(connection, intent)? {
            charge(connection, &charged)?;
        }
    }
    match payment.invoice {
        Some(paid) => invoice(connection, &paid),
        None => Ok(()),
    }
}

fn run(connection: &Connection, sql: &str, id: &str, value: Option<&str>) -> rusqlite::Result<()> {
    connection.prepare_cached(sql)?.execute(params![id, value]).map(|_changes| ())
}

fn referred(connection: &Connection, sql: &str, id: &str) -> rusqlite::Result<Option<String>> {
    let found = connection.prepare_cached(sql)?.query_row([id], |row| row.get::<_, Option<String>>(0)).optional()?;
    Ok(found.flatten())
}

fn charges_of(connection: &Connection, intent: &str) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare_cached("SELECT id FROM charges WHERE payment_intent = ?1")?;
    statement.query_map([intent], |row| row.get(0))?.collect()
}

#[cfg(test)]
mod tests {
    use billhook_stripe::catalogue;
    use rusqlite::StatementStatus;

    use super::*;
    use crate::sqlite::statements::Statements;
    use crate::sqlite::{catalogue as mirror, history};

    fn mirrored() -> Connection {
        let connection = Connection::open_in_memory().expect("a database");
        connection.execute_batch(include_str!("../../sql/sqlite/migrations/0001_foundation.sql")).expect("tables");
        mirror::complete(&connection, &Statements::new(catalogue::tables()), 1).expect("the mirror's tables");
        connection
    }

    #[test]
    fn the_real_catalogue_can_be_linked() {
        assert!(applies(catalogue::tables()));
        assert!(!applies(&catalogue::tables()[..1]));
    }

    /// A statement that SQLite parses anew at every execution costs ten times as much as the others.
    #[test]
    fn no_statement_of_the_hot_path_is_parsed_twice() {
        let connection = mirrored();
        connection
            .execute_batch(
                "INSERT INTO charges (id, payment_intent) VALUES ('ch', 'pi'); INSERT INTO payment_intents (id) VALUES ('pi'); \
                 INSERT INTO invoices (id) VALUES ('in')",
            )
            .expect("rows");
        let charges = catalogue::table_named("charges").expect("a table");
        let ids = vec!["ch".to_owned()];
        for _ in 0..3 {
            for (table, id) in [("charges", "ch"), ("payment_intents", "pi"), ("invoices", "in")] {
                let table = catalogue::table_named(table).expect("a table");
                link(&connection, table, &[id.to_owned()]).expect("linked");
            }
            history::contenders(&connection, charges, &ids).expect("read");
            history::tombstones(&connection, charges, &ids).expect("read");
            history::row_states(&connection, charges, &ids).expect("read");
        }
        for condition in [OF_CHARGE, OF_INTENT, OF_INVOICE] {
            let statement = connection.prepare_cached(&format!("{PAYMENTS} WHERE {condition}")).expect("valid");
            assert!(statement.get_status(StatementStatus::Run) > 0, "{condition} was not used");
            assert_eq!(statement.get_status(StatementStatus::RePrepare), 0, "{condition}");
        }
        for sql in [
            "SELECT invoice, dispute, payment_intent FROM charges WHERE id = ?1",
            "SELECT created, id FROM disputes WHERE charge = ?1",
            "SELECT event_id, time FROM billhook_contenders WHERE table_name = ?1 AND id = ?2",
        ] {
            let statement = connection.prepare_cached(sql).expect("valid");
            assert!(statement.get_status(StatementStatus::Run) > 0, "{sql} was not used");
            assert_eq!(statement.get_status(StatementStatus::RePrepare), 0, "{sql}");
        }
    }
}
