//! Tables of crates above the store: made by the same migrator, under the same lock, and remembered in the database's settings.

use ring::digest::{SHA256, digest};

use crate::{Store, StoreError};

/// Tables that a part of Billhook brings along when it is switched on.
#[derive(Debug, Clone, Copy)]
pub struct Extension {
    /// Its name; it never changes.
    pub name: &'static str,
    /// Its steps, in order. A published one is never changed.
    pub migrations: &'static [ExtensionMigration],
}

/// One step of an extension's tables. Each runs in one transaction.
#[derive(Debug, Clone, Copy)]
pub struct ExtensionMigration {
    /// Its name, unique within the extension.
    pub name: &'static str,
    /// Its statements on PostgreSQL.
    pub postgres: &'static str,
    /// Its statements on SQLite.
    pub sqlite: &'static str,
}

/// A step for one database, and the setting that remembers it.
#[derive(Debug, Clone)]
pub(crate) struct ExtensionStep {
    pub(crate) name: String,
    pub(crate) sql: &'static str,
    /// SHA-256 of the statements, as hexadecimal digits.
    pub(crate) checksum: String,
}

impl ExtensionStep {
    pub(crate) fn setting(&self) -> String {
        format!("migration/{}", self.name)
    }

    /// Whether it has to be applied, by what its setting holds.
    pub(crate) fn is_missing(&self, applied: Option<&str>) -> Result<bool, StoreError> {
        match applied {
            None => Ok(true),
            Some(checksum) if checksum == self.checksum => Ok(false),
            Some(_) => Err(StoreError::Checksum { name: self.name.clone() }),
        }
    }
}

impl Store {
    /// Makes an extension's tables, or what is missing of them; returns the names of the steps that were applied. The schema itself has
    /// to be current.
    ///
    /// # Errors
    /// When an applied step's checksum differs, or when the SQL fails; the step that failed has then changed nothing.
    pub async fn migrate_extension(&self, extension: &Extension) -> Result<Vec<String>, StoreError> {
        let steps = self.steps(extension);
        each!(self, driver => driver.migrate_extension(steps).await)
    }

    /// The names of an extension's steps that this database lacks, without changing anything.
    ///
    /// # Errors
    /// When an applied step's checksum differs, or when the database does not answer.
    pub async fn missing_of_extension(&self, extension: &Extension) -> Result<Vec<String>, StoreError> {
        let mut missing = Vec::new();
        for step in self.steps(extension) {
            if step.is_missing(self.setting(&step.setting()).await?.as_deref())? {
                missing.push(step.name);
            }
        }
        Ok(missing)
    }

    fn steps(&self, extension: &Extension) -> Vec<ExtensionStep> {
        let step = |migration: &ExtensionMigration| {
            let sql = match self {
                Self::Postgres(_) => migration.postgres,
                Self::Sqlite(_) => migration.sqlite,
            };
            let digest = digest(&SHA256, sql.as_bytes());
            let checksum = digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
            ExtensionStep { name: format!("{}/{}", extension.name, migration.name), sql, checksum }
        };
        extension.migrations.iter().map(step).collect()
    }
}
