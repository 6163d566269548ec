//! `billhook functions list`.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::Context as _;
use billhook_core::run::RunState;
use billhook_store::{PausedFunction, Store};
use serde::Serialize;

use crate::command::runs::moment;
use crate::database;
use crate::output::{self, Listing};
use crate::settings::configuration::Configuration;

/// How to list.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A function as the database knows it.
#[derive(Debug, Default, Serialize)]
pub struct Known {
    /// Its id.
    pub id: String,
    /// Since when it is paused.
    pub paused_at: Option<String>,
    /// Why.
    pub pause_reason: Option<String>,
    /// Its runs by state; states without runs are missing.
    pub runs: BTreeMap<&'static str, u64>,
}

/// The functions that have runs or a pause, by id.
///
/// # Errors
/// When the database fails.
pub async fn known(store: &Store) -> anyhow::Result<Vec<Known>> {
    let counts = store.flow_run_counts().await.context("count runs")?;
    let paused = store.paused_functions().await.context("read pauses")?;
    let mut functions: BTreeMap<String, Known> = BTreeMap::new();
    for count in counts {
        functions.entry(count.function).or_default().runs.insert(count.state.name(), count.runs);
    }
    for PausedFunction { id, paused_at, reason } in paused {
        let function = functions.entry(id).or_default();
        (function.paused_at, function.pause_reason) = (Some(moment(paused_at)), Some(reason));
    }
    Ok(functions.into_iter().map(|(id, function)| Known { id, ..function }).collect())
}

/// Lists functions.
pub async fn run(arguments: &Arguments, configuration: &Configuration) -> anyhow::Result<ExitCode> {
    let store = database::open_current(configuration).await?;
    let functions = known(&store).await;
    store.close().await;
    let functions = functions?;
    if arguments.json {
        output::json(&functions)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut listing = Listing::new(&[
        "FUNCTION",
        "PAUSED",
        "QUEUED",
        "RUNNING",
        "WAITING",
        "PARKED",
        "SUCCEEDED",
        "FAILED",
        "CANCELLED",
        "EXPIRED",
    ]);
    for function in functions {
        let counts =
            RunState::ALL.map(|state| function.runs.get(state.name()).copied().unwrap_or_default().to_string());
        listing.add([function.id, function.paused_at.unwrap_or_default()].into_iter().chain(counts));
    }
    listing.print()?;
    Ok(ExitCode::SUCCESS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_stand_in_the_order_of_the_states() {
        let names = ["queued", "running", "waiting", "parked", "succeeded", "failed", "cancelled", "expired"];
        assert_eq!(RunState::ALL.map(RunState::name), names);
    }
}
