//! The tables of the workflows: their own, and those of the mirror that they decide by.

use billhook_store::{Extension, ExtensionMigration};

use crate::name::{NameDefect, TableName};

/// The workflows' own tables.
pub const EXTENSION: Extension = Extension {
    name: "billing",
    migrations: &[ExtensionMigration {
        name: "0001_billing",
        postgres: include_str!("../sql/postgres/0001_billing.sql"),
        sqlite: include_str!("../sql/sqlite/0001_billing.sql"),
    }],
};

/// The names of tables, as SQL has them.
#[derive(Debug, Clone)]
pub struct Tables {
    pub(crate) users: TableName,
    pub(crate) organisations: TableName,
    pub(crate) charges: TableName,
    pub(crate) outbox: TableName,
    pub(crate) mirrored_invoices: TableName,
    pub(crate) mirrored_subscriptions: TableName,
    pub(crate) mirrored_customers: TableName,
}

impl Tables {
    /// On PostgreSQL, where the mirror is in this schema.
    ///
    /// # Errors
    /// When the schema's name is none.
    pub fn postgres(mirror_schema: &str) -> Result<Self, NameDefect> {
        Self::named(|table| format!("billing.{table}"), |table| format!("{mirror_schema}.{table}"))
    }

    /// On SQLite.
    ///
    /// # Errors
    /// None: the names are its own.
    pub fn sqlite() -> Result<Self, NameDefect> {
        Self::named(|table| format!("billing_{table}"), str::to_owned)
    }

    fn named(own: impl Fn(&str) -> String, mirrored: impl Fn(&str) -> String) -> Result<Self, NameDefect> {
        Ok(Self {
            users: own("users").parse()?,
            organisations: own("organisations").parse()?,
            charges: own("charges").parse()?,
            outbox: own("outbox").parse()?,
            mirrored_invoices: mirrored("invoices").parse()?,
            mirrored_subscriptions: mirrored("subscriptions").parse()?,
            mirrored_customers: mirrored("customers").parse()?,
        })
    }
}
