//! `billhook functions pause` and `billhook functions resume`.

use std::process::ExitCode;

use anyhow::Context as _;
use billhook_store::Store;

use super::list;
use crate::command::clock;
use crate::failure::Hinted;
use crate::settings::configuration::Configuration;
use crate::{database, output};

/// Which function, and why.
#[derive(Debug, clap::Args)]
pub struct Pause {
    /// The function's id
    function: String,
    /// Why, for whoever wonders
    #[arg(long, value_name = "TEXT", default_value = "paused on the command line")]
    reason: String,
}

/// Which function.
#[derive(Debug, clap::Args)]
pub struct Resume {
    /// The function's id
    function: String,
}

/// Pauses a function.
pub async fn pause(arguments: &Pause, configuration: &Configuration) -> anyhow::Result<ExitCode> {
    let store = database::open_current(configuration).await?;
    let has_runs = write_pause(&store, arguments).await;
    store.close().await;
    let has_runs = has_runs?;
    let function = output::printable(&arguments.function);
    output::line(&format!("{function} is paused; its events are kept, and its runs wait"))?;
    if !has_runs {
        output::line("it has had no run so far; `billhook functions list` shows the names of those that have")?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns whether the function has had runs.
async fn write_pause(store: &Store, arguments: &Pause) -> anyhow::Result<bool> {
    let now = clock::now(store).await?;
    store.pause_function(&arguments.function, &arguments.reason, now).await.context("pause the function")?;
    let functions = list::known(store).await?;
    Ok(functions.iter().any(|function| function.id == arguments.function && !function.runs.is_empty()))
}

/// Ends a pause.
pub async fn resume(arguments: &Resume, configuration: &Configuration) -> anyhow::Result<ExitCode> {
    let store = database::open_current(configuration).await?;
    let resumed = store.resume_function(&arguments.function).await.context("resume the function");
    store.hint_flow_runs().await;
    store.close().await;
    let function = output::printable(&arguments.function);
    if !resumed? {
        let hint = "`billhook functions list` shows which are";
        return Err(Hinted::new(format!("{function} is not paused"), hint).into());
    }
    output::line(&format!("{function} goes on; what has waited is due at once"))?;
    Ok(ExitCode::SUCCESS)
}
