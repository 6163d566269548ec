//! The databases that the benches write into.

use anyhow::Result;
use billhook_core::Secret;
use billhook_store::{Location, Options, PostgresLocation, Role, Store};
use billhook_stripe::catalogue;
use billhook_testkit::postgres::{Cluster, ClusterSettings, Durability};
use tempfile::TempDir;

/// The server's settings: as in the other benches.
const POSTGRES_SETTINGS: [(&str, &str); 4] =
    [("shared_buffers", "1GB"), ("max_wal_size", "8GB"), ("min_wal_size", "2GB"), ("checkpoint_timeout", "15min")];

/// An empty database, with its server where it has one; gone when dropped. Every commit is on disk before it counts.
pub struct Database {
    pub url: String,
    _cluster: Option<Cluster>,
    _directory: TempDir,
}

impl Database {
    pub fn make(store: &str) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("billhook-bench-").tempdir()?;
        if store == "sqlite" {
            let url = format!("sqlite:{}", directory.path().join("bench.db").display());
            return Ok(Self { url, _cluster: None, _directory: directory });
        }
        let extra = POSTGRES_SETTINGS.map(|(name, value)| (name, value.to_owned())).to_vec();
        let cluster = Cluster::start_with(ClusterSettings { durability: Durability::Full, extra })?;
        Ok(Self { url: cluster.create_database()?, _cluster: Some(cluster), _directory: directory })
    }
}

/// Opens a database and makes its tables.
pub async fn open(url: &str) -> Result<Store> {
    let location = match url.strip_prefix("sqlite:") {
        Some(path) => Location::Sqlite { path: path.into() },
        None => Location::Postgres(PostgresLocation {
            url: Secret::new(url),
            tls_ca: None,
            connections_max: 8,
            mirror_schema: "stripe".to_owned(),
            statement_timeout_ms: 20_000,
        }),
    };
    let (tables, catalogue_revision) = (catalogue::tables(), catalogue::revision());
    let store = Store::open(Options { location, tables, catalogue_revision, role: Role::Server }).await?;
    store.migrate().await?;
    Ok(store)
}
