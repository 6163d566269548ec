//! Databases that benches write into.

use crate::postgres::{Cluster, ClusterSettings, Durability};

/// What everyone sets first on a server of its own: buffers that hold the busy tables, and checkpoints minutes apart.
const POSTGRES_SETTINGS: [(&str, &str); 4] =
    [("shared_buffers", "1GB"), ("max_wal_size", "8GB"), ("min_wal_size", "2GB"), ("checkpoint_timeout", "15min")];

/// An empty database, with a server of its own where it has one; gone when dropped. Every commit is on disk before it counts.
pub struct DurableDatabase {
    url: String,
    _cluster: Option<Cluster>,
    _directory: tempfile::TempDir,
}

impl DurableDatabase {
    /// Makes one in a store: `postgres`, or `sqlite` for a file.
    ///
    /// # Errors
    /// When there is no disk for it, or no server can be started.
    pub fn make(store: &str) -> anyhow::Result<Self> {
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
    pub fn url(&self) -> &str {
        &self.url
    }
}
