//! `billhook functions show`.

use std::process::ExitCode;

use anyhow::Context as _;
use billhook_store::{FlowRunFilter, FlowRunSummary, Store};
use serde::Serialize;

use super::list::{self, Known};
use crate::command::runs::{Run, moment};
use crate::failure::Hinted;
use crate::output::{self, Listing};
use crate::settings::configuration::Configuration;

/// Runs that are shown.
const RUNS_SHOWN: usize = 10;

/// Which function.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The function's id
    function: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A function, for programs.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    function: &'a Known,
    latest_runs: Vec<Run<'a>>,
}

/// Shows one function.
pub async fn run(arguments: &Arguments, configuration: &Configuration) -> anyhow::Result<ExitCode> {
    let store = crate::database::open_current(configuration).await?;
    let read = read(&store, &arguments.function).await;
    store.close().await;
    let Some((function, latest)) = read? else {
        let message = format!("nothing is known of a function {}", output::printable(&arguments.function));
        return Err(Hinted::new(message, "it has had no run; `billhook functions list` shows those that have").into());
    };
    if arguments.json {
        output::json(&Document { function: &function, latest_runs: latest.iter().map(Run::from).collect() })?;
    } else {
        print(&function, latest)?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn read(store: &Store, id: &str) -> anyhow::Result<Option<(Known, Vec<FlowRunSummary>)>> {
    let Some(function) = list::known(store).await?.into_iter().find(|function| function.id == id) else {
        return Ok(None);
    };
    let filter = FlowRunFilter { function: Some(id.to_owned()), limit: RUNS_SHOWN, ..FlowRunFilter::default() };
    let latest = store.list_flow_runs(filter).await.context("list runs")?;
    Ok(Some((function, latest)))
}

fn print(function: &Known, latest: Vec<FlowRunSummary>) -> anyhow::Result<()> {
    let pause = function.paused_at.as_deref().map_or_else(
        || "no".to_owned(),
        |since| format!("since {since}: {}", function.pause_reason.as_deref().unwrap_or_default()),
    );
    let counts: Vec<String> = function.runs.iter().map(|(state, runs)| format!("{runs} {state}")).collect();
    let counts = if counts.is_empty() { "none".to_owned() } else { counts.join(", ") };
    for (name, value) in [("function", &function.id), ("paused", &pause), ("runs", &counts)] {
        output::line(&format!("{name:<10}{}", output::printable(value)))?;
    }
    output::line("")?;
    let mut listing = Listing::new(&["RUN", "EVENT", "CREATED", "STATE"]);
    for run in latest {
        listing.add([run.id, run.event_id, moment(run.created_at), run.state.name().to_owned()]);
    }
    listing.print()?;
    Ok(())
}
