//! Brings the schema up to this program's version: Billhook's own tables by numbered migrations, the mirror by the catalogue.

use billhook_core::failpoint;
use tokio_postgres::SimpleQueryRow;

use super::catalogue;
use super::session::{Patience, Session};
use super::{PostgresStore, column, statements};
use crate::extension::ExtensionStep;
use crate::{MigrationReport, SchemaState, StoreError};

/// Key of the lock under which migrations run, so that of several starting nodes one migrates and the others wait.
const MIGRATION_LOCK: i64 = 0x0062_696c_6c68_6f6f;

/// A migration waits for nodes that migrate, and its table locks for the statements of others, but not for ever.
const BEGIN: &str = "BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = '60s'";

/// Stands alone on the line between two statements of a migration.
const SEPARATOR: &str = "\n---\n";

/// The settings that remember what the mirror was last migrated to.
const CATALOGUE_REVISION: &str = "catalogue_revision";
const MIRROR_SCHEMA: &str = "mirror_schema";

struct Migration {
    version: i64,
    name: &'static str,
    sql: &'static str,
}

impl Migration {
    fn checksum(&self) -> String {
        let digest = ring::digest::digest(&ring::digest::SHA256, self.sql.as_bytes());
        digest.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// Applied in order; a published one is never changed.
const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, name: "0001_inbox", sql: include_str!("../../sql/postgres/migrations/0001_inbox.sql") },
    Migration { version: 2, name: "0002_sync", sql: include_str!("../../sql/postgres/migrations/0002_sync.sql") },
    Migration { version: 3, name: "0003_flow", sql: include_str!("../../sql/postgres/migrations/0003_flow.sql") },
];

/// What the database says about itself.
#[derive(Default)]
struct Found {
    /// Version, name and checksum of every applied migration.
    applied: Vec<(i64, String, String)>,
    catalogue_revision: Option<i64>,
    mirror_schema: Option<String>,
}

impl PostgresStore {
    /// See [`crate::Store::schema_state`]. One round trip.
    ///
    /// # Errors
    /// [`StoreError::Checksum`] when an applied migration differs from this program's.
    pub async fn schema_state(&self) -> Result<SchemaState, StoreError> {
        let session = self.session(Patience::Answer).await?;
        let rows = session.simple("reading the schema's version", statements::SCHEMA_READ).await?;
        session.give_back();
        let Some(rows) = rows else { return Ok(SchemaState::Empty) };
        let found = Found::read(&rows)?;
        if found.newer_than(self.shared.catalogue_revision).is_some() {
            return Ok(SchemaState::Newer);
        }
        let mut missing: Vec<String> = found.missing()?.iter().map(|migration| migration.name.to_owned()).collect();
        if self.is_mirror_behind(&found) {
            missing.push(self.catalogue_name());
        }
        Ok(if missing.is_empty() { SchemaState::Current } else { SchemaState::Behind(missing) })
    }

    /// See [`crate::Store::migrate`]. On a current schema one round trip.
    ///
    /// # Errors
    /// [`StoreError::NewerSchema`], [`StoreError::Checksum`], [`StoreError::Configuration`] for a mirror that cannot be written,
    /// and whatever the server refuses; the migration that failed has then changed nothing.
    pub async fn migrate(&self) -> Result<MigrationReport, StoreError> {
        let mut report = MigrationReport::default();
        if self.schema_state().await? == SchemaState::Current {
            return Ok(report);
        }
        self.make_migration_table().await?;
        for migration in MIGRATIONS {
            if self.apply(migration).await? {
                report.applied.push(migration.name.to_owned());
            }
        }
        self.migrate_mirror(&mut report).await?;
        Ok(report)
    }

    /// See [`crate::Store::migrate_extension`].
    pub(crate) async fn migrate_extension(&self, steps: Vec<ExtensionStep>) -> Result<Vec<String>, StoreError> {
        let mut names = Vec::new();
        for step in steps {
            let session = self.begin_migration().await?;
            let setting = step.setting();
            let rows = session.query("reading a setting", statements::SETTING_READ, &[&setting]).await?;
            let applied: Option<String> = rows.first().map(|row| column(row, 0)).transpose()?;
            if step.is_missing(applied.as_deref())? {
                execute(&session, step.sql).await?;
                session.execute("a migration", statements::SETTING_WRITE, &[&setting, &step.checksum]).await?;
                names.push(step.name);
            }
            commit(session).await?;
        }
        Ok(names)
    }

    async fn begin_migration(&self) -> Result<Session, StoreError> {
        let mut session = self.session(Patience::Migration).await?;
        session.batch("beginning a migration", BEGIN).await?;
        session.renew(Patience::Migration);
        session
            .batch("waiting for other migrations", &format!("SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))
            .await?;
        session.renew(Patience::Migration);
        Ok(session)
    }

    async fn make_migration_table(&self) -> Result<(), StoreError> {
        let session = self.begin_migration().await?;
        let operation = "making Billhook's schema";
        let server = session.query(operation, statements::CATALOGUE_SERVER, &[&"billhook"]).await?;
        // Asked first, because IF NOT EXISTS wants the right to create schemas even when there is nothing to create.
        let exists = server.first().map_or(Ok(false), |row| column(row, 0))?;
        if !exists {
            session.batch(operation, "CREATE SCHEMA billhook").await?;
        }
        session.batch(operation, statements::MIGRATION_TABLE).await?;
        commit(session).await
    }

    /// Returns whether the migration was missing.
    async fn apply(&self, migration: &Migration) -> Result<bool, StoreError> {
        let session = self.begin_migration().await?;
        // Only its own table exists for sure before the first migration.
        let sql = "SELECT version, name, checksum FROM billhook.migrations ORDER BY version";
        let rows = session.simple("reading the schema's version", sql).await?.unwrap_or_default();
        let found = Found::read(&rows)?;
        self.refuse_newer(&found)?;
        if !found.missing()?.iter().any(|missing| missing.version == migration.version) {
            commit(session).await?;
            return Ok(false);
        }
        execute(&session, migration.sql).await?;
        let checksum = migration.checksum();
        session
            .execute("a migration", statements::MIGRATION_NOTE, &[&migration.version, &migration.name, &checksum])
            .await?;
        commit(session).await?;
        Ok(true)
    }

    async fn migrate_mirror(&self, report: &mut MigrationReport) -> Result<(), StoreError> {
        let mut session = self.begin_migration().await?;
        let rows = session.simple("reading the schema's version", statements::SCHEMA_READ).await?.unwrap_or_default();
        let found = Found::read(&rows)?;
        self.refuse_newer(&found)?;
        if self.is_mirror_behind(&found) {
            catalogue::migrate(&mut session, &self.shared, report).await?;
            let operation = "noting the catalogue's revision";
            let revision = self.shared.catalogue_revision.to_string();
            session.execute(operation, statements::SETTING_WRITE, &[&CATALOGUE_REVISION, &revision]).await?;
            let schema = self.shared.mirror.bare();
            session.execute(operation, statements::SETTING_WRITE, &[&MIRROR_SCHEMA, &schema]).await?;
            report.applied.push(self.catalogue_name());
        }
        commit(session).await
    }

    fn is_mirror_behind(&self, found: &Found) -> bool {
        found.catalogue_revision.is_none_or(|revision| revision < self.shared.catalogue_revision)
            || found.mirror_schema.as_deref() != Some(self.shared.mirror.bare())
    }

    fn catalogue_name(&self) -> String {
        format!("catalogue_{}", self.shared.catalogue_revision)
    }

    fn refuse_newer(&self, found: &Found) -> Result<(), StoreError> {
        match found.newer_than(self.shared.catalogue_revision) {
            Some((found, known)) => Err(StoreError::NewerSchema { found, known }),
            None => Ok(()),
        }
    }
}

/// Runs the statements of a step.
async fn execute(session: &Session, sql: &str) -> Result<(), StoreError> {
    for (number, statement) in sql.split(SEPARATOR).enumerate() {
        if number > 0 {
            failpoint::hit("mid_migration");
        }
        session.batch("a migration", statement).await?;
    }
    Ok(())
}

async fn commit(mut session: Session) -> Result<(), StoreError> {
    session.renew(Patience::Migration);
    session.batch("committing a migration", "COMMIT").await?;
    session.give_back();
    Ok(())
}

impl Found {
    fn read(rows: &[SimpleQueryRow]) -> Result<Self, StoreError> {
        let mut found = Self::default();
        for row in rows {
            let text = |at: usize| row.try_get(at).ok().flatten().unwrap_or_default();
            let (version, name, value) = (text(0), text(1), text(2).to_owned());
            match (version, name) {
                ("0", CATALOGUE_REVISION) => found.catalogue_revision = value.parse().ok(),
                ("0", MIRROR_SCHEMA) => found.mirror_schema = Some(value),
                _ => {
                    let unreadable =
                        |_| StoreError::Corrupt("billhook.migrations holds an unreadable version".to_owned());
                    found.applied.push((version.parse().map_err(unreadable)?, name.to_owned(), value));
                }
            }
        }
        Ok(found)
    }

    /// The version in the database and the one known, when the former is greater.
    fn newer_than(&self, catalogue_revision: i64) -> Option<(i64, i64)> {
        let known = MIGRATIONS.last().map_or(0, |migration| migration.version);
        let found = self.applied.iter().map(|(version, ..)| *version).max().unwrap_or(0);
        if found > known {
            return Some((found, known));
        }
        self.catalogue_revision
            .filter(|revision| *revision > catalogue_revision)
            .map(|found| (found, catalogue_revision))
    }

    fn missing(&self) -> Result<Vec<&'static Migration>, StoreError> {
        let mut missing = Vec::new();
        for migration in MIGRATIONS {
            match self.applied.iter().find(|(version, ..)| *version == migration.version) {
                None => missing.push(migration),
                Some((.., checksum)) if *checksum == migration.checksum() => {}
                Some((_, name, _)) => return Err(StoreError::Checksum { name: name.clone() }),
            }
        }
        Ok(missing)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_grow_and_names_begin_with_them() {
        for (at, migration) in MIGRATIONS.iter().enumerate() {
            assert_eq!(migration.version, i64::try_from(at).unwrap() + 1);
            assert!(migration.name.starts_with(&format!("{:04}_", migration.version)));
        }
    }

    #[test]
    fn no_statement_of_a_migration_is_empty() {
        for migration in MIGRATIONS {
            for statement in migration.sql.split(SEPARATOR) {
                let is_code = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with("--");
                assert!(statement.lines().any(is_code), "{}: {statement}", migration.name);
            }
        }
    }
}
