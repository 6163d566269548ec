//! Events start functions in the transaction that writes their rows, and each event once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use billhook_core::SystemClock;
use billhook_core::metrics::Metrics;
use billhook_core::run::RunState;
use billhook_core::step::StepKey;
use billhook_mirror::route::{AppliedEvent, Router};
use billhook_mirror::{Applier, ApplierOptions};
use billhook_store::{
    Control, Delivery, FlowClaim, FlowEvent, FlowWait, Keep, NewFlowRun, Publication, RunCommit, RunNext, StepRecord,
    StoredWait, Suspects, WaitKind, WaitMatcher,
};
use billhook_testkit::wait;
use serde_json::{Value, json};

use crate::harness::{Mirror, delivery, event, on_each_store};

const T: i64 = 1_700_000_000;

/// Starts one function for every event, and notes what it was asked.
#[derive(Debug, Default)]
struct One {
    asked: Mutex<Vec<String>>,
    started: AtomicU64,
}

impl Router for One {
    fn names(&self, event_type: &str) -> Vec<String> {
        vec![format!("stripe/{event_type}")]
    }

    fn route(&self, event: &AppliedEvent<'_>) -> Option<Publication> {
        self.asked.lock().unwrap().push(format!("{} {}", event.event_type, event.created.as_second() - T));
        let run = NewFlowRun {
            id: format!("run of {} {}", event.id, self.asked.lock().unwrap().len()),
            function: "f".to_owned(),
            dedupe_key: event.id.to_owned(),
            due_at: event.created,
            start_by: None,
            end_by: None,
            cancels: Vec::new(),
            control: Control::default(),
        };
        let starts = !event.event_type.ends_with("deleted");
        starts.then(|| Publication { runs: vec![run], ..self.shown(event) })
    }

    fn shown(&self, event: &AppliedEvent<'_>) -> Publication {
        let body: Value = serde_json::from_slice(event.raw).unwrap();
        let event = FlowEvent {
            key: event.id.to_owned(),
            id: event.id.to_owned(),
            name: format!("stripe/{}", event.event_type),
            data: body["data"]["object"].to_string(),
            ts: event.created,
        };
        let names = vec![event.name.clone()];
        Publication { event, names, keep: Keep::IfUsed, runs: Vec::new() }
    }

    fn now(&self) -> jiff::Timestamp {
        jiff::Timestamp::UNIX_EPOCH
    }

    fn matcher(&self) -> &dyn WaitMatcher {
        &All
    }

    fn started(&self) {
        self.started.fetch_add(1, Ordering::Relaxed);
    }
}

/// Every event of the name is what is waited for.
struct All;

impl WaitMatcher for All {
    fn value(&self, _event: &FlowEvent, _path: &str) -> Option<String> {
        None
    }

    fn matches(&self, _wait: &StoredWait, _event: &FlowEvent) -> bool {
        true
    }

    fn memo(&self, event: Option<&FlowEvent>) -> String {
        event.map_or_else(|| "nothing".to_owned(), |event| event.id.clone())
    }
}

async fn applied(mirror: &Mirror, router: &Arc<One>, events: &[Value]) {
    let deliveries: Vec<Delivery> = events.iter().map(delivery).collect();
    mirror.store.insert_deliveries(deliveries).await.unwrap();
    let options = ApplierOptions {
        lanes: 1,
        batch_deliveries_max: 16,
        memory_bytes_max: 8 << 20,
        livemode: Some(false),
        account: String::new(),
        reads: None,
        router: Some(Arc::clone(router) as Arc<dyn Router>),
    };
    let (clock, metrics) = (Arc::new(SystemClock), Arc::new(Metrics::new()));
    let applier = Applier::start(options, mirror.store.clone(), clock, metrics);
    let through = async || (mirror.store.backlog().await.unwrap().deliveries == 0).then_some(());
    wait::until_async("all of it to be applied", Duration::from_secs(30), through).await.unwrap();
    applier.stop().await;
}

#[test]
fn an_event_starts_its_functions_once_with_its_row() {
    on_each_store(async |mirror: Mirror| {
        let router = Arc::new(One::default());
        let product = json!({ "id": "prod_1", "object": "product", "name": "one" });
        let known = event("evt_1", "product.created", T + 1, product, None);
        let preview = json!({ "object": "invoice", "customer": "cus_1" });
        let without_row = event("evt_2", "invoice.upcoming", T + 2, preview, None);
        let mut live = event("evt_3", "product.created", T + 3, json!({ "id": "prod_3", "object": "product" }), None);
        live["livemode"] = true.into();
        let thin = json!({
            "id": "evt_4", "object": "v2.core.event", "type": "v1.product.created", "created": "2023-11-14T22:13:24.000Z",
            "livemode": false, "related_object": { "id": "prod_1", "type": "product", "url": "/v1/products/prod_1" },
        });
        let no_event = json!({ "object": "something" });
        applied(&mirror, &router, &[known, without_row, live, thin, no_event]).await;
        assert_eq!(*router.asked.lock().unwrap(), ["product.created 1", "invoice.upcoming 2"]);
        assert!(router.started.load(Ordering::Relaxed) > 0);
        assert_eq!(mirror.object("products", "prod_1").await.unwrap()["name"], "one");
        let run = mirror.store.flow_run("run of evt_1 1").await.unwrap().expect("a run");
        assert_eq!((run.state, run.event_key.as_str()), (RunState::Queued, "evt_1"));
        let told = router.started.load(Ordering::Relaxed);

        // Applied once more, as after a replay: the row may be written anew, the run is not.
        mirror.store.replay(&["evt_1".to_owned()]).await.unwrap();
        applied(&mirror, &router, &[]).await;
        assert_eq!(router.asked.lock().unwrap().len(), 3);
        assert_eq!(router.started.load(Ordering::Relaxed), told);
        assert_eq!(mirror.store.flow_run("run of evt_1 3").await.unwrap(), None);
    });
}

#[test]
fn an_event_that_starts_nothing_ends_the_wait_of_a_run_in_the_same_transaction() {
    on_each_store(async |mirror: Mirror| {
        let router = Arc::new(One::default());
        let product = json!({ "id": "prod_1", "object": "product", "name": "one" });
        applied(&mirror, &router, &[event("evt_1", "product.created", T + 1, product.clone(), None)]).await;
        let now = jiff::Timestamp::from_second(T + 10).unwrap();
        let later = jiff::Timestamp::from_second(T + 100_000).unwrap();
        let (holder, functions, over) = ("a".to_owned(), vec!["f".to_owned()], "nothing".to_owned());
        let claim = FlowClaim {
            holder,
            functions,
            now,
            lease_until: later,
            limit: 1,
            over,
            suspects: Suspects::NONE,
            places: Vec::new(),
            newest: Vec::new(),
            pinned: Vec::new(),
        };
        let run = mirror.store.claim_flow_runs(claim).await.unwrap().remove(0);
        let (name, key) = ("stripe/product.deleted".to_owned(), StepKey::new("gone", 1));
        let (path, value, expression) = Default::default();
        let (run_id, until) = (run.id.clone(), Some(later));
        let wait =
            FlowWait { run: run_id, kind: WaitKind::Event, key: key.clone(), name, path, value, expression, until };
        let next = RunNext { state: RunState::Waiting, due_at: Some(later), failures: 0, result: None, message: None };
        let records = vec![StepRecord { key: key.clone(), memo: "waits".to_owned(), is_final: false }];
        let commit = RunCommit { records, waits: vec![wait], next: Some(next), ..RunCommit::new(&run.id, run.token) };
        assert_eq!(mirror.store.commit_flow_runs(vec![commit], Arc::new(All), now).await.unwrap(), [true]);
        applied(&mirror, &router, &[event("evt_2", "product.deleted", T + 2, product, None)]).await;
        assert_eq!(mirror.store.flow_run(&run.id).await.unwrap().unwrap().state, RunState::Queued);
        assert_eq!(mirror.store.flow_steps(&run.id).await.unwrap(), [(key, "evt_2".to_owned())]);
    });
}
