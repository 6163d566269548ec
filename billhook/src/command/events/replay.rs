//! `billhook events replay`.

use std::process::ExitCode;

use anyhow::Context as _;

use crate::failure::FAILED;
use crate::settings::configuration::Configuration;
use crate::{database, output};

/// Which deliveries.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The events' ids
    #[arg(required = true, num_args = 1..)]
    events: Vec<String>,
}

/// Puts deliveries back into the queue; the running server applies them.
pub async fn run(arguments: &Arguments, configuration: &Configuration) -> anyhow::Result<ExitCode> {
    let mut events = arguments.events.clone();
    events.sort_unstable();
    events.dedup();
    let store = database::open_current(configuration).await?;
    let queued = store.replay(&events).await.context("queue the deliveries");
    store.close().await;
    let queued = queued?;
    output::line(&format!("{queued} of {} queued; the running server applies them", events.len()))?;
    let all = usize::try_from(queued).is_ok_and(|queued| queued == events.len());
    Ok(if all { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}
