//! How fast native functions run on either store: `cargo xtask bench flow` builds and runs this.
//!
//! Two figures a store: runs a second with so many steps each, from a full queue; and, at 100 events a second, the time from the
//! commit of an event to the beginning of its first step. Every commit is on disk before it counts. One JSON line each.
#![expect(clippy::print_stdout, reason = "a command talks to the person who called it")]

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use billhook_core::{Clock, Secret, SystemClock};
use billhook_flow::engine::{Engine, EngineOptions, Matcher, Publish, Source, publication};
use billhook_flow::{Ctx, Event, Functions, function};
use billhook_store::{Location, Options, PostgresLocation, Role, Store};
use billhook_stripe::catalogue;
use billhook_testkit::postgres::{Cluster, ClusterSettings, Durability};
use billhook_testkit::process;
use jiff::Timestamp;
use serde_json::json;

const USAGE: &str = "flags: --store postgres|sqlite|both --runs 20000 --steps 1,3 --seconds 10";

/// The server's settings: as in the other benches.
const POSTGRES_SETTINGS: [(&str, &str); 4] =
    [("shared_buffers", "1GB"), ("max_wal_size", "8GB"), ("min_wal_size", "2GB"), ("checkpoint_timeout", "15min")];

/// Events a second while the time to the first step is measured.
const EVENTS_PER_SECOND: u32 = 100;

/// Runs that are started in one transaction while the queue is filled: one each would take as long as the bench.
const FILL: usize = 500;

struct Settings {
    stores: Vec<&'static str>,
    runs: usize,
    steps: Vec<u32>,
    seconds: u32,
}

impl Settings {
    fn parse() -> Result<Self> {
        let mut settings = Self { stores: vec!["postgres", "sqlite"], runs: 20_000, steps: vec![1, 3], seconds: 10 };
        let mut arguments = std::env::args().skip(1);
        while let Some(flag) = arguments.next() {
            let value = arguments.next().with_context(|| format!("{flag} needs a value; {USAGE}"))?;
            match (flag.as_str(), value.as_str()) {
                ("--store", "postgres") => settings.stores = vec!["postgres"],
                ("--store", "sqlite") => settings.stores = vec!["sqlite"],
                ("--store", "both") => {}
                ("--runs", number) => settings.runs = number.parse()?,
                ("--steps", list) => settings.steps = list.split(',').map(str::parse).collect::<Result<_, _>>()?,
                ("--seconds", number) => settings.seconds = number.parse()?,
                _ => bail!("unknown flag {flag}; {USAGE}"),
            }
        }
        Ok(settings)
    }
}

/// What the functions of the bench have.
struct App {
    steps: u32,
    ended: AtomicU64,
    began: Instant,
    /// Microseconds from the commit of an event, which its data tells, to its first step.
    lateness: Mutex<Vec<u64>>,
}

async fn stepping(event: Event, ctx: Ctx<App>) -> billhook_flow::Result<u32> {
    let app = ctx.app();
    let mut sum = 0;
    for _ in 0..app.steps {
        sum += ctx
            .step("step", || async {
                Ok::<_, std::io::Error>({
                    note(app, &event);
                    1_u32
                })
            })
            .await?;
    }
    app.ended.fetch_add(1, Ordering::Relaxed);
    Ok(sum)
}

fn note(app: &App, event: &Event) {
    if let Some(routed) = event.data["routed_us"].as_u64() {
        let now = u64::try_from(app.began.elapsed().as_micros()).unwrap_or(u64::MAX);
        app.lateness.lock().unwrap_or_else(PoisonError::into_inner).push(now.saturating_sub(routed));
    }
}

fn functions() -> Functions<App> {
    Functions::new().add(function("stepping", stepping).on("app/bench"))
}

fn main() -> Result<()> {
    let settings = Settings::parse()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    for &store in &settings.stores {
        for &steps in &settings.steps {
            let directory = tempfile::Builder::new().prefix("billhook-bench-").tempdir()?;
            let cluster = if store == "postgres" { Some(start_postgres()?) } else { None };
            let url = cluster.as_ref().map(Cluster::create_database).transpose()?;
            let line = runtime.block_on(measure(&settings, store, steps, url.as_deref(), directory.path()))?;
            println!("{line}");
        }
    }
    Ok(())
}

fn start_postgres() -> Result<Cluster> {
    let extra = POSTGRES_SETTINGS.map(|(name, value)| (name, value.to_owned())).to_vec();
    Cluster::start_with(ClusterSettings { durability: Durability::Full, extra })
}

async fn open(url: Option<&str>, directory: &Path) -> Result<Store> {
    let location = match url {
        Some(url) => Location::Postgres(PostgresLocation {
            url: Secret::new(url),
            tls_ca: None,
            connections_max: 8,
            mirror_schema: "stripe".to_owned(),
            statement_timeout_ms: 20_000,
        }),
        None => Location::Sqlite { path: directory.join("bench.db") },
    };
    let (tables, catalogue_revision) = (catalogue::tables(), catalogue::revision());
    let store = Store::open(Options { location, tables, catalogue_revision, role: Role::Server }).await?;
    store.migrate().await?;
    Ok(store)
}

async fn measure(
    settings: &Settings,
    store_name: &str,
    steps: u32,
    url: Option<&str>,
    directory: &Path,
) -> Result<serde_json::Value> {
    let store = open(url, directory).await?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let (ended, lateness) = Default::default();
    let app = Arc::new(App { steps, ended, began: Instant::now(), lateness });
    for from in (0..settings.runs).step_by(FILL) {
        store.transact(fill(from..settings.runs.min(from + FILL), clock.now())).await?;
    }
    let started = Instant::now();
    let options = EngineOptions::new("bench");
    let engine = Engine::start(options, functions(), Arc::clone(&app), store.clone(), Arc::clone(&clock));
    until(&app, settings.runs).await;
    let runs_per_s = settings.runs as f64 / started.elapsed().as_secs_f64();
    paced(settings, &store, &clock, &app, &engine).await?;
    engine.stop().await;
    store.close().await;
    let mut lateness = app.lateness.lock().unwrap_or_else(PoisonError::into_inner).clone();
    lateness.sort_unstable();
    let percentile = |share: f64| {
        let at = ((lateness.len() as f64 - 1.0) * share).round() as usize;
        lateness.get(at).map(|us| *us as f64 / 1_000.0)
    };
    let peak_rss_mb = process::peak_rss_kilobytes(std::process::id()).unwrap_or(0) as f64 / 1024.0;
    Ok(json!({
        "bench": "flow", "store": store_name, "steps": steps, "nodes": 1, "runs": settings.runs,
        "runs_per_s": runs_per_s.round(), "start_p50_ms": percentile(0.5), "start_p99_ms": percentile(0.99),
        "peak_rss_mb": peak_rss_mb.round(),
    }))
}

/// Events that are published in one transaction.
fn fill(numbers: std::ops::Range<usize>, now: Timestamp) -> Publish {
    let one = |number| {
        let data = json!({ "amount": 1_200, "currency": "eur" });
        let event = Event::new(format!("evt_{number}"), "app/bench", data, now);
        publication(&functions(), &event, Source::Stripe, std::slice::from_ref(&event.name), now)
    };
    Publish { publications: numbers.map(one).collect(), matcher: Arc::new(Matcher), now }
}

/// Sends events at a steady rate.
async fn paced(
    settings: &Settings,
    store: &Store,
    clock: &Arc<dyn Clock>,
    app: &Arc<App>,
    engine: &Engine,
) -> Result<()> {
    let events = settings.seconds * EVENTS_PER_SECOND;
    let mut tick = tokio::time::interval(Duration::from_secs(1) / EVENTS_PER_SECOND);
    for number in 0..events {
        tick.tick().await;
        let now = clock.now();
        let routed_us = u64::try_from(app.began.elapsed().as_micros())?;
        let event = Event::new(format!("evt_paced_{number}"), "app/bench", json!({ "routed_us": routed_us }), now);
        let publication = publication(&functions(), &event, Source::User, std::slice::from_ref(&event.name), now);
        let published = store.transact(Publish::one(publication, now)).await?;
        ensure!(published[0].started == [true], "an event started no run");
        engine.wake();
    }
    until(app, settings.runs + events as usize).await;
    Ok(())
}

async fn until(app: &App, runs: usize) {
    while app.ended.load(Ordering::Relaxed) < runs as u64 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}
