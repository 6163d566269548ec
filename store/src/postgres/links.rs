//! Columns that are filled from rows of other tables, whichever side arrives last.
//!
//! Two nodes that write both sides at the same moment may both miss the other's row; the next event of either object, or a
//! rebuild, fills the column.

use billhook_core::table::{ColumnType, Table};

use super::names::MirrorSchema;
use super::statements;

/// A statement that runs after rows of a table were written, with their ids.
struct Link {
    /// The table whose rows were written.
    written: &'static str,
    /// Name of the statement's file.
    name: &'static str,
    sql: &'static str,
}

const LINKS: &[Link] = &[
    Link { written: "charges", name: "link_charges", sql: statements::LINK_CHARGES },
    Link { written: "disputes", name: "link_disputes", sql: statements::LINK_DISPUTES },
    Link { written: "invoice_payments", name: "link_invoice_payments", sql: statements::LINK_INVOICE_PAYMENTS },
    Link { written: "invoices", name: "link_invoices", sql: statements::LINK_INVOICES },
    Link { written: "payment_intents", name: "link_payment_intents", sql: statements::LINK_PAYMENT_INTENTS },
];

/// Every column the statements use. A catalogue without them has no links.
const NEEDED: &[(&str, &[(&str, ColumnType)])] = &[
    ("charges", &[("invoice", ColumnType::Text), ("payment_intent", ColumnType::Text), ("dispute", ColumnType::Text)]),
    ("disputes", &[("charge", ColumnType::Text), ("created", ColumnType::BigInt)]),
    (
        "invoice_payments",
        &[("invoice", ColumnType::Text), ("payment", ColumnType::Json), ("is_default", ColumnType::Boolean)],
    ),
    ("invoices", &[("charge", ColumnType::Text), ("payment_intent", ColumnType::Text)]),
    ("payment_intents", &[("invoice", ColumnType::Text), ("latest_charge", ColumnType::Text)]),
];

/// The indexes the links look into, by table: name and what is indexed. Part of the catalogue migration.
pub(super) const INDEXES: &[(&str, &str, &str)] = &[
    ("invoice_payments", "stripe_invoice_payments_payment_charge_idx", "((\"payment\" ->> 'charge'))"),
    ("invoice_payments", "stripe_invoice_payments_payment_payment_intent_idx", "((\"payment\" ->> 'payment_intent'))"),
];

/// Columns of the links that need an index even when the catalogue does not ask for one.
pub(super) const INDEXED_COLUMNS: &[(&str, &str)] =
    &[("disputes", "charge"), ("charges", "payment_intent"), ("invoice_payments", "invoice")];

/// The statements for this catalogue and schema.
pub(super) struct Links {
    by_table: Vec<(&'static str, String)>,
}

impl Links {
    pub(super) fn new(mirror: &MirrorSchema, tables: &[Table]) -> Self {
        if !are_linked(tables) {
            return Self { by_table: Vec::new() };
        }
        let fill = |link: &Link| (link.written, link.sql.replace(statements::MIRROR, mirror.quoted()));
        Self { by_table: LINKS.iter().map(fill).collect() }
    }

    /// The statement to run after rows of a table were written.
    pub(super) fn after_writing(&self, table: &Table) -> Option<&str> {
        self.by_table.iter().find(|(written, _)| *written == table.name).map(|(_, sql)| sql.as_str())
    }

    /// Whether the statement of this file is in use.
    pub(super) fn knows(&self, name: &str) -> bool {
        !self.by_table.is_empty() && LINKS.iter().any(|link| link.name == name)
    }
}

/// Whether the catalogue has every table and column that the links use.
pub(super) fn are_linked(tables: &[Table]) -> bool {
    NEEDED.iter().all(|(name, columns)| {
        tables.iter().find(|table| table.name == *name).is_some_and(|table| {
            columns.iter().all(|(column, column_type)| {
                table.columns.iter().any(|found| found.name == *column && found.column_type == *column_type)
            })
        })
    })
}
