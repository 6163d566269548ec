//! One customer floods a function while another one sends a few events: how late those begin, beside how late they begin alone.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use billhook_core::{Clock, SystemClock};
use billhook_flow::engine::{Engine, EngineOptions, Matcher, Publish, Source, publication};
use billhook_flow::{Event, Functions};
use billhook_store::Store;
use billhook_testkit::DurableDatabase;
use serde_json::{Value, json};

use crate::Settings;
use crate::database::open;
use crate::functions::{App, by_tenant};

/// Events of the one who is measured, and the time between two of them.
const QUIET: (usize, Duration) = (10, Duration::from_millis(100));

/// Events of the flood that are published in one transaction.
const FILL: usize = 500;

/// Longest wait for the quiet customer's runs.
const PATIENCE: Duration = Duration::from_secs(300);

pub async fn measure(settings: &Settings, store_name: &str, steps: u32) -> Result<Value> {
    let database = DurableDatabase::make(store_name)?;
    let store = open(database.url()).await?;
    let alone = quiet(&store, "alone", 0, steps).await?;
    let beside = quiet(&store, "beside", settings.runs, steps).await?;
    store.close().await;
    Ok(json!({
        "bench": "flow_noisy", "store": store_name, "steps": steps, "nodes": 1, "flood": settings.runs,
        "alone_p50_ms": alone.late_ms(0.5), "alone_max_ms": alone.late_ms(1.0),
        "beside_p50_ms": beside.late_ms(0.5), "beside_max_ms": beside.late_ms(1.0),
    }))
}

/// The quiet customer's events behind a flood of so many. One order of turns for all of them, as in one process.
async fn quiet(store: &Store, name: &str, flood: usize, steps: u32) -> Result<Arc<App>> {
    let (functions, app) = (by_tenant(), Arc::new(App::new(steps)));
    for from in (0..flood).step_by(FILL) {
        let part = (from..flood.min(from + FILL)).map(|number| (format!("flood-{number}"), json!({ "tenant": "a" })));
        publish(&functions, store, part.collect()).await?;
    }
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let engine = Engine::start(EngineOptions::new("bench"), functions.clone(), Arc::clone(&app), store.clone(), clock);
    let mut tick = tokio::time::interval(QUIET.1);
    for number in 0..QUIET.0 {
        tick.tick().await;
        let data = json!({ "tenant": "b", "routed_us": app.elapsed_us() });
        publish(&functions, store, vec![(format!("{name}-{number}"), data)]).await?;
        engine.wake();
    }
    let all = async {
        while app.measured() < QUIET.0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    ensure!(tokio::time::timeout(PATIENCE, all).await.is_ok(), "the quiet customer's runs did not begin");
    engine.stop().await;
    Ok(app)
}

async fn publish(functions: &Functions<App>, store: &Store, events: Vec<(String, Value)>) -> Result<()> {
    let now = SystemClock.now();
    let one = |(id, data)| {
        let event = Event::new(id, "app/keyed", data, now);
        publication(functions, &event, Source::User, std::slice::from_ref(&event.name), now)
    };
    let publications = events.into_iter().map(one).collect();
    store.transact(Publish { publications, matcher: Arc::new(Matcher), now }).await?;
    Ok(())
}
