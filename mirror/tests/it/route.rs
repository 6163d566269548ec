//! Events start functions in the transaction that writes their rows, and each event once.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use billhook_core::SystemClock;
use billhook_core::metrics::Metrics;
use billhook_core::run::RunState;
use billhook_mirror::route::{AppliedEvent, Router};
use billhook_mirror::{Applier, ApplierOptions};
use billhook_store::{Delivery, FlowEvent, NewFlowRun};
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
    fn route(&self, event: &AppliedEvent<'_>) -> Vec<NewFlowRun> {
        self.asked.lock().unwrap().push(format!("{} {}", event.event_type, event.created.as_second() - T));
        let body: Value = serde_json::from_slice(event.raw).unwrap();
        vec![NewFlowRun {
            id: format!("run of {} {}", event.id, self.asked.lock().unwrap().len()),
            function: "f".to_owned(),
            dedupe_key: event.id.to_owned(),
            event: FlowEvent {
                id: event.id.to_owned(),
                name: format!("stripe/{}", event.event_type),
                data: body["data"]["object"].to_string(),
                ts: event.created,
            },
            due_at: event.created,
        }]
    }

    fn started(&self, runs: u64) {
        self.started.fetch_add(runs, Ordering::Relaxed);
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
        assert_eq!(router.started.load(Ordering::Relaxed), 2);
        assert_eq!(mirror.object("products", "prod_1").await.unwrap()["name"], "one");
        let run = mirror.store.flow_run("run of evt_1 1").await.unwrap().expect("a run");
        assert_eq!((run.state, run.event_id.as_str()), (RunState::Queued, "evt_1"));

        // Applied once more, as after a replay: the row may be written anew, the run is not.
        mirror.store.replay(&["evt_1".to_owned()]).await.unwrap();
        applied(&mirror, &router, &[]).await;
        assert_eq!(router.asked.lock().unwrap().len(), 3);
        assert_eq!(router.started.load(Ordering::Relaxed), 2);
        assert_eq!(mirror.store.flow_run("run of evt_1 3").await.unwrap(), None);
    });
}
