//! What a server runs besides taking deliveries: everything that reads from Stripe.

use std::sync::Arc;

use billhook_core::Clock;
use billhook_core::metrics::Metrics;
use billhook_mirror::Ingest;
use billhook_mirror::equal::ReaderLease;
use billhook_mirror::sync::{SyncOptions, Syncer};
use billhook_store::Store;
use billhook_stripe::api::Api;

use crate::settings::configuration::Configuration;
use crate::stripe_api;

/// Backfills, catch-up, re-reads and the comparison with Stripe, while this process holds the lease.
pub struct Reading {
    /// The client, which requests share.
    pub api: Api,
    lease: ReaderLease,
    syncer: Syncer,
}

impl Reading {
    /// Starts all of it.
    pub fn start(
        configuration: &Configuration,
        store: &Store,
        api: Api,
        _ingest: &Ingest,
        clock: &Arc<dyn Clock>,
        metrics: &Arc<Metrics>,
    ) -> Self {
        let holder = stripe_api::holder();
        let lease = ReaderLease::start(store.clone(), holder.clone(), Arc::clone(clock));
        let options = SyncOptions {
            parallel: configuration.sync.segments_max,
            account: configuration.stripe.account.clone().unwrap_or_default(),
            ..SyncOptions::new(holder)
        };
        let syncer =
            Syncer::start(options, store.clone(), api.clone(), Arc::clone(clock), Arc::clone(metrics), lease.active());
        Self { api, lease, syncer }
    }

    /// Lets what is being written be committed, then gives everything back.
    pub async fn stop(self) {
        self.syncer.stop().await;
        self.lease.stop().await;
    }
}
