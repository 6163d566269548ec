//! Several processes on one PostgreSQL, compared with one: how many runs a second they end together.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use billhook_core::{Clock as _, SystemClock};
use billhook_testkit::DurableDatabase;
use jiff::SignedDuration;
use serde_json::json;

use crate::Settings;
use crate::database::open;
use crate::node::Node;
use crate::queue::fill;

/// Processes in turn.
const NODES: [usize; 2] = [1, 3];

/// All runs are due at one moment, when the queue is full and all processes are there: so long after the beginning, and so much later for
/// each run.
const DUE_AFTER: SignedDuration = SignedDuration::from_secs(10);
const DUE_AFTER_EACH: SignedDuration = SignedDuration::from_micros(500);

/// How often it is looked whether anything is left.
const LOOK_EVERY: Duration = Duration::from_millis(20);

pub async fn measure(settings: &Settings, steps: u32) -> Result<Vec<serde_json::Value>> {
    let mut lines = Vec::new();
    for nodes in NODES {
        lines.push(measure_nodes(settings, steps, nodes).await?);
    }
    Ok(lines)
}

async fn measure_nodes(settings: &Settings, steps: u32, nodes: usize) -> Result<serde_json::Value> {
    let database = DurableDatabase::make("postgres")?;
    let store = open(database.url()).await?;
    let due = SystemClock.now() + DUE_AFTER + DUE_AFTER_EACH * i32::try_from(settings.runs)?;
    let names: Vec<String> = (1..=nodes).map(|number| format!("node-{number}")).collect();
    let running: Vec<Node> =
        names.iter().map(|name| Node::start(database.url(), name, steps)).collect::<Result<_>>()?;
    fill(&store, settings.runs, due).await?;
    let left = due.duration_since(SystemClock.now());
    ensure!(left.is_positive(), "the queue was filled too late; the machine is too busy to measure anything");
    tokio::time::sleep(left.unsigned_abs()).await;
    let began = Instant::now();
    while store.next_flow_due().await?.is_some() {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    let runs_per_s = settings.runs as f64 / began.elapsed().as_secs_f64();
    let (mut peak_rss_mb, mut shares) = (0.0_f64, Vec::new());
    for node in running {
        peak_rss_mb = peak_rss_mb.max(node.peak_rss_mb()?);
        shares.push(node.stop()?.ended);
    }
    store.close().await;
    Ok(json!({
        "bench": "flow_nodes", "store": "postgres", "steps": steps, "nodes": nodes, "runs": settings.runs,
        "runs_per_s": runs_per_s.round(), "runs_of_each": shares, "peak_rss_mb": peak_rss_mb.round(),
    }))
}
