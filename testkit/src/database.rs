//! A fresh database for one test, on either store.

use std::sync::OnceLock;

use anyhow::Context;
use tempfile::TempDir;

use crate::postgres::{Binaries, Cluster, MISSING};
use crate::{random, skip, sql};

/// Names the superuser URL of a running PostgreSQL; `cargo xtask test` sets it for all test binaries.
pub const URL_VARIABLE: &str = "TEST_DATABASE_URL";

/// A database of its own, gone when dropped.
#[derive(Debug)]
pub enum TestDatabase {
    /// A file in a directory of its own.
    Sqlite(TempDir),
    /// A database of a shared server.
    Postgres {
        /// URL of the server's own database, for making and dropping.
        server: String,
        /// Name of the database.
        name: String,
    },
}

impl TestDatabase {
    /// A path for an SQLite file that does not exist yet.
    ///
    /// # Errors
    /// When no directory can be made.
    pub fn sqlite() -> anyhow::Result<Self> {
        Ok(Self::Sqlite(tempfile::Builder::new().prefix("billhook-sqlite-").tempdir()?))
    }

    /// An empty PostgreSQL database, on the server that `TEST_DATABASE_URL` names or on one that this process starts for
    /// all its tests.
    ///
    /// # Errors
    /// When there is no server.
    pub fn postgres() -> anyhow::Result<Self> {
        let server = server_url()?;
        let name = random::name("billhook");
        sql::execute(&server, &format!("CREATE DATABASE {name}"))?;
        Ok(Self::Postgres { server, name })
    }

    /// One database of each kind. Without a PostgreSQL server only SQLite, and the test is noted as partly skipped.
    ///
    /// # Errors
    /// When a database cannot be made.
    ///
    /// # Panics
    /// In CI, when there is no PostgreSQL server.
    pub fn both(test: &str) -> anyhow::Result<Vec<Self>> {
        let mut all = vec![Self::sqlite()?];
        all.extend(Self::postgres_or_skip(&format!("{test} on PostgreSQL"))?);
        Ok(all)
    }

    /// A PostgreSQL database, or `None` and a note that the test was skipped when there is no server.
    ///
    /// # Errors
    /// When the database cannot be made.
    ///
    /// # Panics
    /// In CI, when there is no PostgreSQL server.
    pub fn postgres_or_skip(test: &str) -> anyhow::Result<Option<Self>> {
        if std::env::var_os(URL_VARIABLE).is_none() && Binaries::find().is_none() {
            skip::note(test, MISSING);
            return Ok(None);
        }
        Self::postgres().map(Some)
    }

    /// What `DATABASE_URL` has to be.
    pub fn url(&self) -> String {
        match self {
            Self::Sqlite(directory) => format!("sqlite:{}", directory.path().join("billhook.db").display()),
            Self::Postgres { server, name } => with_database(server, name),
        }
    }

    /// `"sqlite"` or `"postgres"`.
    pub fn dialect(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => "sqlite",
            Self::Postgres { .. } => "postgres",
        }
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        if let Self::Postgres { server, name } = self {
            let _ = sql::execute(server, &format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
        }
    }
}

/// The same server's URL with another database; parameters stay.
fn with_database(url: &str, name: &str) -> String {
    let (address, parameters) = url.split_at(url.find('?').unwrap_or(url.len()));
    let start = address.find("://").map_or(0, |at| at + 3);
    let end = address[start..].find('/').map_or(address.len(), |at| start + at);
    format!("{}/{name}{parameters}", &address[..end])
}

fn server_url() -> anyhow::Result<String> {
    // Never dropped: the cluster's watchdog removes it when this process ends.
    static SHARED: OnceLock<Result<Cluster, String>> = OnceLock::new();
    if let Ok(url) = std::env::var(URL_VARIABLE) {
        return Ok(url);
    }
    let shared = SHARED.get_or_init(|| Cluster::start().map_err(|error| format!("{error:#}")));
    shared.as_ref().map(Cluster::url).map_err(|error| anyhow::anyhow!("{error}")).context("no PostgreSQL for this test")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_database_of_a_url_is_replaced() {
        assert_eq!(with_database("postgres://u@h:1/a?sslmode=disable", "b"), "postgres://u@h:1/b?sslmode=disable");
        assert_eq!(with_database("postgres://u@h", "b"), "postgres://u@h/b");
    }

    #[test]
    fn both_databases_are_fresh() {
        for database in TestDatabase::both("both_databases_are_fresh").unwrap() {
            sql::execute(&database.url(), "CREATE TABLE t (n bigint)").unwrap();
            assert_eq!(sql::number(&database.url(), "SELECT count(*) FROM t").unwrap(), 0);
        }
    }
}
