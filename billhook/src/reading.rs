//! What a server runs besides taking deliveries: everything that reads from Stripe.

use std::sync::Arc;

use std::time::Duration;

use billhook_mirror::endpoints::Endpoints;
use billhook_mirror::equal::{Parts, Reader, ReaderLease, ReaderOptions};
use billhook_mirror::interpret::{Policy, ReadPolicy};
use billhook_mirror::sync::{ApiSource, SourceOptions, SyncOptions, Syncer};
use billhook_store::Store;
use billhook_stripe::api::{Api, Class};
use billhook_web::StripeSource;
use jiff::SignedDuration;
use tokio::task::JoinHandle;

use crate::settings::configuration::Configuration;
use crate::stripe_api;

/// Backfills, catch-up, re-reads and the comparison with Stripe, while this process holds the lease.
pub struct Reading {
    /// Stripe, as requests read single objects from it.
    pub stripe: StripeSource,
    lease: ReaderLease,
    syncer: Syncer,
    reader: Reader,
    endpoints: JoinHandle<()>,
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
        let syncer = Syncer::start(options, store.clone(), api.clone(), Arc::clone(&clock), metrics, lease.active());
        let stripe_version = configuration.stripe.api_version.clone();
        let options = ReaderOptions {
            interval: Duration::from_secs(u64::from(sync.catch_up_interval_seconds)),
            reconcile_period: period(sync.reconcile_period_seconds),
            drift_grace: Some(SignedDuration::from_secs(i64::from(sync.reconcile_grace_seconds))),
            account,
            source: source_options(configuration, Class::Backfill),
            syncer: Some(syncer.clone()),
            reads: Some(Arc::new(read_policy(configuration))),
        };
        let reader = Reader::start(options, parts, lease.active());
        let endpoints = Endpoints::new(api, store, clock);
        let endpoints = tokio::spawn(look_after(endpoints, configuration.public_url.clone(), stripe_version));
        Self { stripe, lease, syncer, reader, endpoints }
    }

    /// Lets what is being written be committed, then gives everything back.
    pub async fn stop(self) {
        self.endpoints.abort();
        self.reader.stop().await;
        self.syncer.stop().await;
        self.lease.stop().await;
    }
}

/// Sees to the webhook endpoint of `public_url` at once and every hour, and removes those that were replaced. Stripe may be away at
/// the start: then it is tried again, ever less often.
async fn look_after(endpoints: Endpoints, public_url: Option<String>, version: String) {
    let mut pause_seconds = ENDPOINT_RETRY_SECONDS;
    loop {
        let outcome = match &public_url {
            Some(url) => endpoints.ensure(url, &version).await.map(|ensured| {
                if ensured.is_new || ensured.is_repaired {
                    tracing::info!(endpoint = %ensured.id, is_new = ensured.is_new, "the webhook endpoint delivers here");
                }
            }),
            None => Ok(()),
        };
        let outcome = match outcome {
            Ok(()) => endpoints.remove_retired().await.map(drop),
            failed => failed,
        };
        pause_seconds = match outcome {
            Ok(()) => ENDPOINT_EVERY_SECONDS,
            Err(error) => {
                tracing::warn!(%error, "the webhook endpoint could not be looked after; it is tried again");
                (pause_seconds * 2).clamp(ENDPOINT_RETRY_SECONDS, ENDPOINT_EVERY_SECONDS)
            }
        };
        tokio::time::sleep(Duration::from_secs(pause_seconds)).await;
    }
}

/// How often webhook endpoints are looked after, in seconds: Stripe disables one that failed for days, and somebody should notice.
const ENDPOINT_EVERY_SECONDS: u64 = 3_600;

/// First pause after a failure, in seconds; each further one is twice as long.
const ENDPOINT_RETRY_SECONDS: u64 = 2;

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
fn period(seconds: u32) -> Option<SignedDuration> {
    (seconds > 0).then(|| SignedDuration::from_secs(i64::from(seconds)))
}
