//! How fast events that nobody delivered come in: `cargo run --release -p billhook-mirror --example catch_up -- 100000`.
//!
//! A simulator on loopback lists them; the time counts until the last one is applied. One JSON line. With `TEST_DATABASE_URL` it
//! goes into a new database of that PostgreSQL server, else into SQLite.
#![expect(clippy::print_stdout, reason = "a command talks to the person who called it")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use billhook_core::metrics::Metrics;
use billhook_core::{Secret, SystemClock};
use billhook_mirror::equal::{CatchUp, Parts};
use billhook_mirror::{Applier, ApplierOptions};
use billhook_simulator::{Options as SimulatorOptions, Simulator};
use billhook_store::{Location, Options, Role, Store};
use billhook_stripe::api::{Api, ApiKey, ApiOptions, Rate};
use billhook_stripe::catalogue;
use billhook_testkit::{TestDatabase, process};
use jiff::{SignedDuration, Timestamp};

/// The simulator spreads its events over the last 20 days.
const HISTORY_DAYS: i64 = 21;
/// How often is looked whether everything is applied, in milliseconds.
const LOOK_MS: u64 = 20;
fn main() -> Result<()> {
    let count = std::env::args().nth(1).map_or(Ok(100_000), |count| count.parse()).context("the number of events")?;
    let simulator = Simulator::start(SimulatorOptions::default())?;
    simulator.account(|account| account.fill_events(count));
    let postgres = std::env::var_os("TEST_DATABASE_URL").is_some();
    let database = if postgres { TestDatabase::postgres()? } else { TestDatabase::sqlite()? };
    tokio::runtime::Runtime::new()?.block_on(measure(&simulator, &database, postgres, count))
}

async fn measure(simulator: &Simulator, database: &TestDatabase, postgres: bool, count: usize) -> Result<()> {
    let store = open(database).await?;
    let (clock, metrics) = (Arc::new(SystemClock), Arc::new(Metrics::new()));
    let mut options = ApiOptions::new(simulator.base_url(), ApiKey::Fixed(Secret::new("sk_test_simulator")));
    options.requests_per_second = Rate::Unlimited;
    let applier = ApplierOptions {
        lanes: if postgres { 2 } else { 1 },
        batch_deliveries_max: 512,
        memory_bytes_max: 32 << 20,
        livemode: None,
        account: String::new(),
        reads: None,
        router: None,
    };
    let parts = Parts {
        store: store.clone(),
        api: Api::new(options, clock.clone(), Arc::clone(&metrics))?,
        applier: Applier::start(applier, store.clone(), clock.clone(), Arc::clone(&metrics)),
        clock,
        metrics,
    };
    let since = Timestamp::now().checked_sub(SignedDuration::from_hours(24 * HISTORY_DAYS))?;
    store.write_setting("events_cursor", &since.as_second().to_string()).await?;
    let started = Instant::now();
    let caught = CatchUp::new(parts.clone()).pass().await?;
    let read = started.elapsed().as_secs_f64();
    while store.backlog().await?.deliveries > 0 {
        tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
    }
    let applied = started.elapsed().as_secs_f64();
    println!(
        "{}",
        serde_json::json!({
            "bench": "catch_up", "store": store.dialect(), "events": caught.new, "asked_for": count,
            "read_per_s": (caught.new as f64 / read).round(), "applied_per_s": (caught.new as f64 / applied).round(),
            // The simulator lives in the same process and holds every event.
            "peak_rss_mb_with_simulator": process::peak_rss_kilobytes(std::process::id())? / 1024,
        })
    );
    parts.applier.stop().await;
    store.close().await;
    Ok(())
}

async fn open(database: &TestDatabase) -> Result<Store> {
    let location = Location::from_url(&database.url());
    let options = Options {
        location,
        tables: catalogue::tables(),
        catalogue_revision: catalogue::revision(),
        role: Role::Server,
    };
    let store = Store::open(options).await?;
    store.migrate().await?;
    Ok(store)
}
