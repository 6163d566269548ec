use std::sync::Arc;
use std::time::Duration;

use billhook_core::metrics::Metrics;
use billhook_core::run::RunState;
use billhook_core::{Clock, SystemClock};
use billhook_flow::engine::{Engine, EngineOptions, Publish, Source, publication};
use billhook_flow::{Aliases, Ctx, Event, Functions, function};
use billhook_mirror::{Applier, ApplierOptions};
use billhook_testkit::{TestDatabase, wait};
use serde_json::json;

use super::*;
use crate::functions::FunctionRouter;
use crate::functions::enrich::tests::{delivery, open};

const PATIENCE: Duration = Duration::from_secs(60);

/// Reads an invoice as it is after the event that it was told of.
async fn reader(event: Event, ctx: Ctx<()>) -> Result<Value> {
    let at_least = event.data["at_least"].as_str().unwrap_or_default();
    let invoice = ctx.mirror::<Value>("invoice", "in_1").at_least(at_least).await?.unwrap_or_default();
    Ok(json!([invoice["status"], invoice["subscription_id"]]))
}

fn paid() -> Value {
    let subscription = json!({ "type": "subscription_details", "subscription_details": { "subscription": "sub_1" } });
    let invoice = json!({ "id": "in_1", "object": "invoice", "status": "paid", "parent": subscription });
    json!({
        "id": "evt_1", "object": "event", "type": "invoice.paid", "created": 1_799_582_400, "livemode": false,
        "api_version": "2026-10-28.endive", "data": { "object": invoice },
    })
}

#[test]
fn a_function_reads_what_an_event_said_as_soon_as_the_mirror_has_applied_it() {
    for database in TestDatabase::both("a_function_reads_what_an_event_said").expect("databases") {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        runtime.block_on(async { reads_what_an_event_said(open(&database).await).await });
    }
}

async fn reads_what_an_event_said(store: Store) {
    let functions = Functions::new().add(function("reader", reader).on("app/read"));
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let mirror = Some(Arc::new(MirrorReader::new(store.clone())) as Arc<dyn Mirror>);
    let options = EngineOptions { mirror, ..EngineOptions::new("a") };
    let engine = Engine::start(options, functions.clone(), Arc::new(()), store.clone(), Arc::clone(&clock));
    let start = async |id: &str| {
        let event = Event::new(id, "app/read", json!({ "at_least": "evt_1" }), clock.now());
        let publication = publication(&functions, &event, Source::User, std::slice::from_ref(&event.name), clock.now());
        let run = publication.runs[0].id.clone();
        store.transact(Publish::one(publication, clock.now())).await.unwrap();
        engine.wake();
        run
    };
    let until = async |run: &str, state: RunState| {
        let reached = async || store.flow_run(run).await.unwrap().filter(|run| run.state == state);
        wait::until_async(state.name(), PATIENCE, reached).await.unwrap()
    };
    let early = start("before it arrives").await;
    until(&early, RunState::Waiting).await;
    store.insert_deliveries(vec![delivery(&paid())]).await.unwrap();
    let between = start("before it is applied").await;
    until(&between, RunState::Waiting).await;
    let (aliases, waker) = (Aliases::default(), engine.waker());
    let router = FunctionRouter { functions: functions.clone(), aliases, clock: Arc::clone(&clock), waker };
    let options = ApplierOptions {
        lanes: 1,
        batch_deliveries_max: 10,
        memory_bytes_max: 1 << 20,
        livemode: Some(false),
        account: String::new(),
        reads: None,
        router: Some(Arc::new(router)),
    };
    let applier = Applier::start(options, store.clone(), Arc::clone(&clock), Arc::new(Metrics::new()));
    let late = start("at any time").await;
    for run in [early, between, late] {
        let ended = until(&run, RunState::Succeeded).await;
        assert_eq!(ended.result.as_deref(), Some(r#"["paid","sub_1"]"#));
    }
    applier.stop().await;
    engine.stop().await;
}
