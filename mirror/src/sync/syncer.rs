//! Claims segments and has them walked.

use std::sync::Arc;

use billhook_core::Clock;
use billhook_core::metrics::Metrics;
use billhook_store::Store;
use billhook_stripe::api::Api;
use tokio::sync::watch;

/// How segments are read.
#[derive(Debug, Clone)]
pub struct SyncOptions {
    /// This process among all that use the database; leases are in this name.
    pub holder: String,
    /// Segments that are walked at the same time.
    pub parallel: usize,
    /// The account of this installation; empty when it is not configured.
    pub account: String,
    /// First pause after a failure that may pass, in milliseconds; each further one is twice as long.
    pub retry_first_ms: u64,
}

impl SyncOptions {
    /// The defaults.
    pub fn new(holder: impl Into<String>) -> Self {
        Self { holder: holder.into(), parallel: 8, account: String::new(), retry_first_ms: 1_000 }
    }
}

/// Walks segments while it is told to. Cheap to clone.
#[derive(Clone)]
pub struct Syncer;

impl Syncer {
    /// Starts. Segments are claimed while `active` is true; when it turns false, those that are being walked are given back
    /// after their next commit.
    pub fn start(
        _options: SyncOptions,
        _store: Store,
        _api: Api,
        _clock: Arc<dyn Clock>,
        _metrics: Arc<Metrics>,
        _active: watch::Receiver<bool>,
    ) -> Self {
        Self
    }

    /// Looks for segments at once, after a run was started in this process.
    pub fn wake(&self) {}

    /// Lets the commits in flight end, gives all segments back and stops.
    pub async fn stop(&self) {}
}
