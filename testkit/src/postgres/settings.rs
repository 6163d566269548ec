//! Server settings of a throw-away cluster.

/// Whether a commit must survive the loss of power.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Durability {
    /// Nothing is forced to disk. A killed server still keeps its commits; a machine that loses power does not.
    #[default]
    Relaxed,
    /// The server's defaults: every commit is on disk before it is acknowledged.
    Full,
}

/// Settings of a cluster.
#[derive(Debug, Clone, Default)]
pub struct ClusterSettings {
    /// Whether a commit must survive the loss of power.
    pub durability: Durability,
    /// More settings, as in `postgresql.conf`: `("max_connections", "5")`.
    pub extra: Vec<(&'static str, String)>,
}

impl ClusterSettings {
    /// Everything to set, as name and value.
    pub(super) fn assignments(&self) -> Vec<(&'static str, String)> {
        let mut all = vec![("timezone", "UTC".to_owned()), ("log_timezone", "UTC".to_owned())];
        if self.durability == Durability::Relaxed {
            let off = || "off".to_owned();
            all.extend([("fsync", off()), ("full_page_writes", off()), ("synchronous_commit", off())]);
            // Many test binaries at once, each with a pool.
            all.extend([("max_connections", "300".to_owned()), ("shared_buffers", "64MB".to_owned())]);
        }
        all.extend(self.extra.iter().cloned());
        all
    }
}
