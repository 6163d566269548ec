//! A mirror beside a simulated Stripe, with clocks that move together.

use std::sync::Arc;
use std::time::Duration;

use billhook_core::metrics::Metrics;
use billhook_core::{Clock, ManualClock, Secret};
use billhook_mirror::equal::compare::{Shapes, differing};
use billhook_mirror::equal::{CatchUp, Caught, Parts};
use billhook_mirror::sync::{SyncOptions, Syncer};
use billhook_mirror::{Applier, ApplierOptions};
use billhook_simulator::{Account, ClockMode, Options, Simulator};
use billhook_stripe::api::{Api, ApiKey, ApiOptions, OnKeyRefused, Rate};
use billhook_stripe::catalogue;
use billhook_testkit::wait;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::sync::watch;

use crate::harness::{Mirror, on_each_store};

/// When every test begins, in Unix seconds.
pub const START: i64 = 1_800_000_000;

/// A mirror and its Stripe.
pub struct World {
    pub mirror: Mirror,
    pub stripe: Simulator,
    pub parts: Parts,
    clock: Arc<ManualClock>,
}

/// Runs a test on each database there is, each with a Stripe of its own.
pub fn in_each_world<F: Future<Output = ()>>(test: impl Fn(World) -> F) {
    on_each_store(async |mirror: Mirror| test(World::new(mirror)).await);
}

impl World {
    fn new(mirror: Mirror) -> Self {
        // It starts a runtime of its own, which a thread that drives one may not.
        let start = || Simulator::start(Options { clock: ClockMode::Manual(START), ..Options::default() }).unwrap();
        let stripe = std::thread::spawn(start).join().unwrap();
        let clock = Arc::new(ManualClock::new(Timestamp::from_second(START).unwrap()));
        let metrics = Arc::new(Metrics::new());
        let api = api(&stripe, "sk_test_simulator", Arc::<ManualClock>::clone(&clock), &metrics);
        let applier = ApplierOptions {
            lanes: if mirror.store.dialect() == "sqlite" { 1 } else { 2 },
            batch_deliveries_max: 256,
            memory_bytes_max: 32 << 20,
            livemode: None,
            account: String::new(),
            reads: None,
            router: None,
        };
        let applier =
            Applier::start(applier, mirror.store.clone(), Arc::<ManualClock>::clone(&clock), Arc::clone(&metrics));
        let parts =
            Parts { store: mirror.store.clone(), api, applier, clock: Arc::<ManualClock>::clone(&clock), metrics };
        Self { mirror, stripe, parts, clock }
    }

    /// A client with another key.
    pub fn api_with_key(&self, key: &str) -> Api {
        api(&self.stripe, key, self.parts.clock.clone(), &self.parts.metrics)
    }

    /// Walks the segments of runs until it is stopped.
    pub fn syncer(&self) -> Running {
        let active = watch::Sender::new(true);
        let options = SyncOptions { parallel: 2, ..SyncOptions::new("node-1") };
        let Parts { store, api, metrics, .. } = self.parts.clone();
        let syncer = Syncer::start(options, store, api, self.parts.clock.clone(), metrics, active.subscribe());
        Running { syncer, _active: active }
    }

    /// Looks at the simulated account or changes it.
    pub fn at_stripe<R>(&self, act: impl FnOnce(&mut Account) -> R) -> R {
        self.stripe.account(act)
    }

    /// Moves both clocks.
    pub fn advance(&self, seconds: i64) {
        self.stripe.account(|account| account.advance(seconds));
        self.clock.advance(SignedDuration::from_secs(seconds));
    }

    /// Now, by both clocks.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// A pass of catch-up, applied.
    pub async fn catch_up(&self, catch_up: &mut CatchUp) -> Caught {
        let caught = catch_up.pass().await.unwrap();
        self.applied().await;
        caught
    }

    /// Waits until nothing waits to be applied.
    pub async fn applied(&self) {
        self.wait_until("everything is applied", async || self.mirror.store.backlog().await.unwrap().deliveries == 0)
            .await;
    }

    /// Waits for a condition.
    pub async fn wait_until(&self, what: &str, mut condition: impl AsyncFnMut() -> bool) {
        let held = async || condition().await.then_some(());
        wait::until_async(what, Duration::from_secs(20), held).await.unwrap();
    }

    /// Objects of a kind that differ between the mirror and Stripe, by id.
    pub async fn differences(&self, object: &str) -> Vec<String> {
        let table = catalogue::table_of(object).unwrap();
        let deleted = match table.column("deleted") {
            Some(_) => self.mirror.deleted_ids(&table.name).await,
            None => Vec::new(),
        };
        let mut rows: Vec<(String, String)> =
            self.mirror.rows(&table.name).await.into_iter().map(|row| (row.id, row.raw)).collect();
        rows.retain(|(id, _)| !deleted.contains(id));
        let oracle = self.stripe.oracle();
        let mut different = Vec::new();
        for (id, object_at_stripe) in oracle.objects(object) {
            match rows.iter().position(|(row, _)| row == id) {
                Some(position) => {
                    let (_, raw) = rows.swap_remove(position);
                    if !differing(object, &raw, &object_at_stripe.to_string(), Shapes::Same).is_empty() {
                        different.push(id.to_owned());
                    }
                }
                None => different.push(id.to_owned()),
            }
        }
        different.extend(rows.into_iter().map(|(id, _)| id));
        different.sort();
        different
    }

    /// The value of a metric's line, 0 when there is none.
    pub fn metric(&self, name: &str) -> f64 {
        let text = self.parts.metrics.encode();
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.map_or(0.0, |value| value.parse().unwrap())
    }
}

/// A client that gives up soon.
fn api(stripe: &Simulator, key: &str, clock: Arc<dyn Clock>, metrics: &Arc<Metrics>) -> Api {
    let mut options = ApiOptions::new(stripe.base_url(), ApiKey::Fixed(Secret::new(key)));
    options.requests_per_second = Rate::Unlimited;
    options.on_key_refused = OnKeyRefused::Fail;
    options.limits.backoff_first_ms = 5;
    options.limits.backoff_longest_ms = 20;
    options.limits.total_ms = 2_000;
    Api::new(options, clock, Arc::clone(metrics)).unwrap()
}

/// A running syncer.
pub struct Running {
    pub syncer: Syncer,
    _active: watch::Sender<bool>,
}

/// A customer of this name.
pub fn customer(account: &mut Account, name: &str, event: Option<&str>) -> String {
    let mut customer = account.plain("customer");
    customer.insert("name".into(), name.into());
    account.insert(Value::Object(customer), event)
}

/// Renames a customer.
pub fn rename(account: &mut Account, id: &str, name: &str, event: Option<&str>) {
    account.update("customer", id, event, |customer| drop(customer.insert("name".into(), name.into()))).unwrap();
}
