//! Reading Stripe's lists into rows, against the simulator.

mod faults;
mod kinds;
mod lists;
mod reads;
mod resume;
mod single;
mod windows;

use std::sync::Arc;
use std::time::Duration;

use billhook_core::metrics::Metrics;
use billhook_core::{Secret, SystemClock};
use billhook_mirror::interpret::Policy;
use billhook_mirror::reread::reread;
use billhook_mirror::sync::names::{Target, resolve};
use billhook_mirror::sync::{ApiSource, SourceOptions, SyncOptions, Syncer, Window, runs};
use billhook_simulator::{Options, Simulator};
use billhook_store::{RunSummary, SegmentEnd};
use billhook_stripe::api::{Api, ApiKey, ApiOptions, Class, Get, OnKeyRefused, Rate};
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::watch;

use crate::harness::Mirror;

/// How long a run may take before a test gives up.
const RUN_TAKES_MOST: Duration = Duration::from_secs(60);

/// A simulated Stripe.
pub struct Stripe {
    pub simulator: Simulator,
    pub metrics: Arc<Metrics>,
}

impl Stripe {
    pub fn start() -> Self {
        Self::with(Options::default())
    }

    pub fn with(options: Options) -> Self {
        // It makes a runtime of its own, which no thread of another one may.
        let started = std::thread::spawn(|| Simulator::start(options)).join();
        let simulator = started.expect("no panic").expect("the simulator starts");
        Self { simulator, metrics: Arc::default() }
    }

    /// A client without a limit of its own, which gives up soon.
    pub fn api(&self) -> Api {
        self.api_with_key("sk_test_simulator")
    }

    pub fn api_with_key(&self, key: &str) -> Api {
        let mut options = ApiOptions::new(self.simulator.base_url(), ApiKey::Fixed(Secret::new(key.to_owned())));
        options.requests_per_second = Rate::Unlimited;
        options.on_key_refused = OnKeyRefused::Fail;
        options.limits.backoff_first_ms = 5;
        options.limits.backoff_longest_ms = 20;
        options.limits.attempts = 3;
        Api::new(options, Arc::new(SystemClock), Arc::clone(&self.metrics)).expect("a client")
    }

    pub fn source(&self, mirror: &Mirror) -> ApiSource {
        ApiSource::new(self.api(), mirror.store.clone(), SourceOptions::default())
    }

    pub fn syncer(&self, mirror: &Mirror, parallel: usize) -> Running {
        self.syncer_named(mirror, parallel, "node-1", self.api())
    }

    pub fn syncer_named(&self, mirror: &Mirror, parallel: usize, holder: &str, api: Api) -> Running {
        let options = SyncOptions { parallel, retry_first_ms: 20, ..SyncOptions::new(holder) };
        let active = watch::Sender::new(true);
        let (clock, metrics) = (Arc::new(SystemClock), Arc::clone(&self.metrics));
        let syncer = Syncer::start(options, mirror.store.clone(), api, clock, metrics, active.subscribe());
        Running { syncer, active }
    }

    /// Starts runs, has them read, and returns them when they are over.
    pub async fn backfill(&self, mirror: &Mirror, names: &[&str]) -> Vec<RunSummary> {
        self.backfill_window(mirror, names, Window::default()).await
    }

    pub async fn backfill_window(&self, mirror: &Mirror, names: &[&str], window: Window) -> Vec<RunSummary> {
        let runs = start(mirror, names, window).await;
        let running = self.syncer(mirror, 8);
        let over = wait(mirror, &runs).await;
        running.stop().await;
        over
    }

    /// An event as the Events API shows it.
    pub async fn event(&self, id: &str) -> Value {
        let path = format!("/v1/events/{id}");
        let get = Get { path: &path, query: &[], account: "", class: Class::Interactive };
        let answer = self.api().get(&get).await.expect("the event");
        serde_json::from_slice(&answer.body).expect("JSON")
    }

    /// Reads what is marked, until nothing is.
    pub async fn settle_dirty(&self, mirror: &Mirror) {
        self.settle_dirty_with(mirror, &self.source(mirror)).await;
    }

    pub async fn settle_dirty_with(&self, mirror: &Mirror, source: &ApiSource) {
        let settle = async {
            while !mirror.dirty().await.is_empty() {
                let done = reread(&mirror.store, source, &Policy::default(), Timestamp::now(), 100).await;
                if done.expect("the database answers").done() == 0 {
                    // The second of a mark has to pass.
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
            }
        };
        tokio::time::timeout(RUN_TAKES_MOST, settle).await.expect("everything can be read");
    }

    pub fn requests_to(&self, endpoint: &str) -> usize {
        self.simulator.oracle().requests_to(endpoint)
    }
}

/// A syncer and its gate.
pub struct Running {
    pub syncer: Syncer,
    pub active: watch::Sender<bool>,
}

impl Running {
    pub async fn stop(self) {
        self.syncer.stop().await;
    }
}

pub fn targets(names: &[&str]) -> Vec<Target> {
    names.iter().flat_map(|name| resolve(name).expect("a known name")).collect()
}

/// Starts runs of these kinds; returns their ids.
pub async fn start(mirror: &Mirror, names: &[&str], window: Window) -> Vec<i64> {
    let request =
        runs::Request { targets: targets(names), window, trigger: "command", related: false, livemode: Some(false) };
    let started = runs::start(&mirror.store, &request, Timestamp::now()).await.expect("started");
    started.iter().map(|started| started.run.run()).collect()
}

pub async fn wait(mirror: &Mirror, ids: &[i64]) -> Vec<RunSummary> {
    let waited = tokio::time::timeout(RUN_TAKES_MOST, runs::wait(&mirror.store, ids)).await;
    match waited {
        Ok(runs) => runs.expect("the database answers"),
        Err(_) => panic!("the runs are not over: {:?}", runs::status(&mirror.store, ids).await),
    }
}

/// Asserts that all of these runs read everything.
pub fn assert_done(runs: &[RunSummary]) {
    for run in runs {
        assert_eq!((run.end, run.message.as_str()), (Some(SegmentEnd::Done), ""), "{run:?}");
    }
}

/// Asserts that a table holds exactly the objects that the simulator has of a kind, property by property, apart from embedded
/// lists, of which reads show the beginning only.
pub async fn assert_equal(stripe: &Stripe, mirror: &Mirror, kind: &str, table: &str) {
    let oracle = stripe.simulator.oracle();
    let mut expected: Vec<(String, Value)> =
        oracle.objects(kind).map(|(id, object)| (id.to_owned(), without_lists(object))).collect();
    expected.sort_by(|a, b| a.0.cmp(&b.0));
    let rows = mirror.rows(table).await;
    let found: Vec<(String, Value)> =
        rows.into_iter().map(|row| (row.id, without_lists(serde_json::from_str(&row.raw).expect("JSON")))).collect();
    assert_eq!(found.len(), expected.len(), "number of {table}");
    for (found, expected) in found.iter().zip(&expected) {
        assert_eq!(found, expected);
    }
}

fn without_lists(mut object: Value) -> Value {
    if let Value::Object(properties) = &mut object {
        properties.retain(|_, value| value["object"] != "list");
    }
    object
}

/// Ids of a table's rows.
pub async fn ids(mirror: &Mirror, table: &str) -> Vec<String> {
    mirror.rows(table).await.into_iter().map(|row| row.id).collect()
}
