//! The databases that benches write into.

use anyhow::{Result, bail};
use billhook_testkit::postgres::{Cluster, ClusterSettings, Durability};
use tempfile::TempDir;

use crate::shell::Flags;

/// What everyone sets first on a server of its own: buffers that hold the busy tables, and checkpoints minutes apart. Every
/// commit is on disk before it counts.
const POSTGRES_SETTINGS: [(&str, &str); 4] =
    [("shared_buffers", "1GB"), ("max_wal_size", "8GB"), ("min_wal_size", "2GB"), ("checkpoint_timeout", "15min")];

/// The stores that `--store` names; both when it is left out.
pub(super) fn stores(flags: &Flags) -> Result<Vec<&'static str>> {
    Ok(match flags.text("store").unwrap_or("both") {
        "postgres" => vec!["postgres"],
        "sqlite" => vec!["sqlite"],
        "both" => vec!["postgres", "sqlite"],
        other => bail!("--store is postgres, sqlite or both, not {other:?}"),
    })
}

/// An empty database, with its server where it has one; gone when dropped.
pub(super) struct Database {
    url: String,
    _cluster: Option<Cluster>,
    _directory: TempDir,
}

impl Database {
    /// Makes one.
    pub(super) fn make(store: &str) -> Result<Self> {
        let directory = tempfile::Builder::new().prefix("billhook-bench-").tempdir()?;
        if store == "sqlite" {
            let url = format!("sqlite:{}", directory.path().join("bench.db").display());
            return Ok(Self { url, _cluster: None, _directory: directory });
        }
        let extra = POSTGRES_SETTINGS.map(|(name, value)| (name, value.to_owned())).to_vec();
        let cluster = Cluster::start_with(ClusterSettings { durability: Durability::Full, extra })?;
        Ok(Self { url: cluster.create_database()?, _cluster: Some(cluster), _directory: directory })
    }

    /// What `DATABASE_URL` has to be.
    pub(super) fn url(&self) -> &str {
        &self.url
    }
}
