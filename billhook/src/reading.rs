//! What a server runs besides taking deliveries: everything that reads from Stripe.

use std::sync::Arc;

use std::time::Duration;

use billhook_mirror::equal::{Parts, Reader, ReaderLease, ReaderOptions};
use billhook_mirror::interpret::{Policy, ReadPolicy};
use billhook_mirror::sync::{ApiSource, SourceOptions, SyncOptions, Syncer};
use billhook_store::Store;
use billhook_stripe::api::{Api, Class};
use billhook_web::StripeSource;
use jiff::SignedDuration;

use crate::settings::configuration::Configuration;
use crate::stripe_api;

/// Backfills, catch-up, re-reads and the comparison with Stripe, while this process holds the lease.
pub struct Reading {
    /// Stripe, as requests read single objects from it.
    pub stripe: StripeSource,
    lease: ReaderLease,
    syncer: Syncer,
    reader: Reader,
}

impl Reading {
    /// Starts all of it.
    pub fn start(configuration: &Configuration, parts: Parts) -> Self {
        let holder = stripe_api::holder();
        let Parts { store, api, clock, metrics, .. } = parts.clone();
        let lease = ReaderLease::start(store.clone(), holder.clone(), Arc::clone(&clock));
        let account = configuration.stripe.account.clone().unwrap_or_default();
        let sync = &configuration.sync;
        api.set_background_rate(f64::from(sync.reconcile_requests_per_second));
        let stripe = source(configuration, &api, &store, Class::Interactive);
        let options = SyncOptions { parallel: sync.segments_max, account: account.clone(), ..SyncOptions::new(holder) };
        let syncer = Syncer::start(options, store, api.clone(), clock, metrics, lease.active());
        let options = ReaderOptions {
            interval: Duration::from_secs(u64::from(sync.catch_up_interval_seconds)),
            reconcile_period: period(sync.reconcile_period_seconds),
            drift_grace: Some(SignedDuration::from_secs(i64::from(sync.reconcile_grace_seconds))),
            account,
            source: source_options(configuration, Class::Backfill),
        };
        let reader = Reader::start(options, parts, lease.active());
        Self { stripe, lease, syncer, reader }
    }

    /// Lets what is being written be committed, then gives everything back.
    pub async fn stop(self) {
        self.reader.stop().await;
        self.syncer.stop().await;
        self.lease.stop().await;
    }
}

/// Reads single objects as it is configured.
pub fn source(configuration: &Configuration, api: &Api, store: &Store, class: Class) -> StripeSource {
    let options = source_options(configuration, class);
    let account = options.account.clone();
    let policy = Policy { livemode: api.livemode(), account, reads: Some(Arc::new(read_policy(configuration))) };
    StripeSource { source: ApiSource::new(api.clone(), store.clone(), options), policy }
}

fn source_options(configuration: &Configuration, class: Class) -> SourceOptions {
    let account = configuration.stripe.account.clone().unwrap_or_default();
    SourceOptions { account, auto_expand_lists: configuration.stripe.auto_expand_lists, class }
}

/// Which objects are read again although an event showed them.
pub fn read_policy(configuration: &Configuration) -> ReadPolicy {
    let stripe = &configuration.stripe;
    ReadPolicy {
        revalidate: stripe.revalidate_objects.iter().cloned().collect(),
        version: stripe.api_version.clone(),
        related: stripe.backfill_related_entities,
    }
}

/// The time between two comparisons of a kind; 0 means never.
fn period(seconds: u32) -> SignedDuration {
    if seconds == 0 { SignedDuration::MAX } else { SignedDuration::from_secs(i64::from(seconds)) }
}
