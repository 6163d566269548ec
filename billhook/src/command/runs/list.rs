//! `billhook runs list`.

use std::process::ExitCode;

use anyhow::Context as _;
use billhook_core::run::RunState;
use billhook_store::FlowRunFilter;

use super::shown::{Run, moment, shortened};
use crate::database;
use crate::output::{self, Listing};
use crate::settings::configuration::Configuration;

/// Characters of a message in a list; `runs show` prints all of it.
const NOTE_CHARACTERS_MAX: usize = 60;

/// Which runs.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Only runs of this function
    #[arg(long, value_name = "FUNCTION")]
    function: Option<String>,
    /// Only runs in this state
    #[arg(long, value_name = "STATE", value_parser = RunState::ALL.map(RunState::name))]
    state: Option<String>,
    /// Only runs that this event started
    #[arg(long, value_name = "EVENT")]
    event: Option<String>,
    /// Only runs older than this one: the next page
    #[arg(long, value_name = "RUN")]
    before: Option<String>,
    /// At most so many
    #[arg(long, value_name = "NUMBER", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    limit: u16,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Lists runs.
pub async fn run(arguments: &Arguments, configuration: &Configuration) -> anyhow::Result<ExitCode> {
    let filter = FlowRunFilter {
        function: arguments.function.clone(),
        state: arguments.state.as_deref().and_then(RunState::from_name),
        event_id: arguments.event.clone(),
        before: arguments.before.clone(),
        limit: usize::from(arguments.limit),
        ..FlowRunFilter::default()
    };
    let store = database::open_current(configuration).await?;
    let runs = store.list_flow_runs(filter).await.context("list runs");
    store.close().await;
    let runs = runs?;
    if arguments.json {
        output::json(&runs.iter().map(Run::from).collect::<Vec<_>>())?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut listing = Listing::new(&["RUN", "FUNCTION", "EVENT", "CREATED", "STATE", "DUE", "NOTE"]);
    for run in runs {
        listing.add([
            run.id,
            run.function,
            run.event_id,
            moment(run.created_at),
            run.state.name().to_owned(),
            run.due_at.map(moment).unwrap_or_default(),
            run.message.map(|message| shortened(&message, NOTE_CHARACTERS_MAX)).unwrap_or_default(),
        ]);
    }
    listing.print()?;
    Ok(ExitCode::SUCCESS)
}
