//! `billhook sync status`.

use std::process::ExitCode;

use anyhow::Context as _;
use billhook_mirror::sync::runs;
use billhook_store::{DriftCount, Gap, RunSummary, Store};
use jiff::Timestamp;
use serde::Serialize;

use crate::database;
use crate::output::{self, Listing};
use crate::settings::configuration::Configuration;

/// How much to show.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Only runs that have not ended
    #[arg(long)]
    open: bool,
    /// At most so many runs
    #[arg(long, value_name = "NUMBER", default_value_t = 40, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    limit: u16,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What there is to know.
struct Status {
    runs: Vec<RunSummary>,
    waiting: Vec<(String, u64)>,
    drift: Vec<DriftCount>,
    gaps: Vec<Gap>,
}

impl Status {
    async fn read(store: &Store, arguments: &Arguments) -> anyhow::Result<Self> {
        Ok(Self {
            runs: store.list_runs(usize::from(arguments.limit), arguments.open).await.context("list runs")?,
            waiting: store.dirty_count().await.context("count what is to be read again")?,
            drift: store.drift_counts().await.context("count drift")?,
            gaps: store.list_gaps(GAPS_SHOWN_MAX).await.context("list gaps")?,
        })
    }
}

/// Gaps that are shown; there should be none.
const GAPS_SHOWN_MAX: usize = 20;

/// A run, for programs.
#[derive(Debug, Serialize)]
struct Run<'a> {
    run: i64,
    object: &'a str,
    trigger: &'a str,
    state: &'static str,
    objects: u64,
    requests: u64,
    objects_per_second: f64,
    requested_at: String,
    finished_at: Option<String>,
    message: &'a str,
}

/// Shows how reading stands.
pub async fn run(arguments: &Arguments, configuration: &Configuration) -> anyhow::Result<ExitCode> {
    let store = database::open_current(configuration).await?;
    let status = Status::read(&store, arguments).await;
    store.close().await;
    let status = status?;
    let now = Timestamp::now();
    if arguments.json {
        as_json(&status, now)?
    } else {
        as_text(&status, now)?
    }
    Ok(ExitCode::SUCCESS)
}

fn as_json(status: &Status, now: Timestamp) -> std::io::Result<()> {
    let runs: Vec<Run<'_>> = status.runs.iter().map(|run| of(run, now)).collect();
    let drift = status.drift.iter().map(|count| {
        serde_json::json!({
            "object": count.object, "waiting": count.waiting, "confirmed": count.confirmed,
        })
    });
    let gaps = status.gaps.iter().map(|gap| {
        serde_json::json!({
            "from": gap.from, "to": gap.to, "recorded_at": gap.recorded_at.to_string(), "runs": gap.runs,
        })
    });
    let to_read: std::collections::BTreeMap<_, _> = status.waiting.iter().cloned().collect();
    output::json(&serde_json::json!({
        "runs": runs,
        "to_read_again": to_read,
        "drift": drift.collect::<Vec<_>>(),
        "gaps": gaps.collect::<Vec<_>>(),
    }))
}

fn of(run: &RunSummary, now: Timestamp) -> Run<'_> {
    Run {
        run: run.id,
        object: &run.object,
        trigger: &run.trigger,
        state: run.state(),
        objects: run.objects,
        requests: run.requests,
        objects_per_second: runs::progress(run, now).objects_per_second,
        requested_at: run.requested_at.to_string(),
        finished_at: run.finished_at.map(|at| at.to_string()),
        message: &run.message,
    }
}

fn as_text(status: &Status, now: Timestamp) -> std::io::Result<()> {
    let mut listing = Listing::new(&["RUN", "OBJECT", "FOR", "STATE", "OBJECTS", "PER SECOND", "REQUESTED", "NOTE"]);
    for run in status.runs.iter().map(|run| of(run, now)) {
        listing.add([
            run.run.to_string(),
            run.object.to_owned(),
            run.trigger.to_owned(),
            run.state.to_owned(),
            run.objects.to_string(),
            format!("{:.0}", run.objects_per_second),
            run.requested_at,
            run.message.to_owned(),
        ]);
    }
    listing.print()?;
    for (object, count) in &status.waiting {
        output::line(&format!("{count} of {} wait to be read again", output::printable(object)))?;
    }
    for count in status.drift.iter().filter(|count| count.confirmed > 0) {
        let object = output::printable(&count.object);
        output::line(&format!(
            "drift: {} of {object} that no event had told; see `billhook sync drift`",
            count.confirmed
        ))?;
    }
    for gap in &status.gaps {
        output::line(&format!("gap: events from {} to {} could not be had", told(gap.from), told(gap.to)))?;
    }
    Ok(())
}

fn told(second: i64) -> String {
    Timestamp::from_second(second).map_or_else(|_| second.to_string(), |at| at.to_string())
}
