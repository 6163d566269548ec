//! One process with a full queue, and then with events at a steady rate.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use billhook_core::{Clock, SystemClock};
use billhook_flow::Event;
use billhook_flow::engine::{Engine, EngineOptions, Matcher, Publish, Source, publication};
use billhook_store::Store;
use billhook_testkit::{DurableDatabase, process};
use jiff::Timestamp;
use serde_json::json;

use crate::Settings;
use crate::database::open;
use crate::functions::{App, functions};

/// Events a second while the time to the first step is measured.
const EVENTS_PER_SECOND: u32 = 100;

/// Runs that are started in one transaction while the queue is filled: one each would take as long as the bench.
const FILL: usize = 500;

/// Starts so many runs that are due at a time.
pub async fn fill(store: &Store, runs: usize, due: Timestamp) -> Result<()> {
    for from in (0..runs).step_by(FILL) {
        store.transact(part(from..runs.min(from + FILL), due)).await?;
    }
    Ok(())
}

/// Events that are published in one transaction. Their runs are due then and not before.
fn part(numbers: std::ops::Range<usize>, due: Timestamp) -> Publish {
    let one = |number| {
        let data = json!({ "amount": 1_200, "currency": "eur" });
        let event = Event::new(format!("evt_{number}"), "app/bench", data, due);
        publication(&functions(), &event, Source::Stripe, std::slice::from_ref(&event.name), due)
    };
    Publish { publications: numbers.map(one).collect(), matcher: Arc::new(Matcher), now: SystemClock.now() }
}

pub async fn measure(settings: &Settings, store_name: &str, steps: u32) -> Result<serde_json::Value> {
    let database = DurableDatabase::make(store_name)?;
    let store = open(database.url()).await?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let app = Arc::new(App::new(steps));
    let engine =
        || Engine::start(EngineOptions::new("bench"), functions(), Arc::clone(&app), store.clone(), Arc::clone(&clock));
    // First, or it would be measured beside what PostgreSQL has to clear away after the queue.
    let pacing = engine();
    let paced = paced(settings, &store, &clock, &app, &pacing).await?;
    pacing.stop().await;
    fill(&store, settings.runs, clock.now()).await?;
    let started = Instant::now();
    let emptying = engine();
    until(&app, paced + settings.runs).await;
    let runs_per_s = settings.runs as f64 / started.elapsed().as_secs_f64();
    emptying.stop().await;
    store.close().await;
    let peak_rss_mb = process::peak_rss_kilobytes(std::process::id()).unwrap_or(0) as f64 / 1024.0;
    Ok(json!({
        "bench": "flow", "store": store_name, "steps": steps, "nodes": 1, "runs": settings.runs,
        "runs_per_s": runs_per_s.round(), "start_p50_ms": app.late_ms(0.5), "start_p99_ms": app.late_ms(0.99),
        "peak_rss_mb": peak_rss_mb.round(),
    }))
}

/// Sends events at a steady rate; returns how many.
async fn paced(
    settings: &Settings,
    store: &Store,
    clock: &Arc<dyn Clock>,
    app: &Arc<App>,
    engine: &Engine,
) -> Result<usize> {
    let events = settings.seconds * EVENTS_PER_SECOND;
    let mut tick = tokio::time::interval(Duration::from_secs(1) / EVENTS_PER_SECOND);
    for number in 0..events {
        tick.tick().await;
        let now = clock.now();
        let data = json!({ "routed_us": app.elapsed_us() });
        let event = Event::new(format!("evt_paced_{number}"), "app/bench", data, now);
        let publication = publication(&functions(), &event, Source::User, std::slice::from_ref(&event.name), now);
        let published = store.transact(Publish::one(publication, now)).await?;
        ensure!(published[0].started == [true], "an event started no run");
        engine.wake();
    }
    until(app, events as usize).await;
    Ok(events as usize)
}

async fn until(app: &App, runs: usize) {
    while app.ended.load(Ordering::Relaxed) < runs as u64 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
