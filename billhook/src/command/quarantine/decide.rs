//! `billhook quarantine retry` and `billhook quarantine drop`.

use std::process::ExitCode;

use anyhow::Context as _;

use super::ENTRIES_MAX;
use crate::failure::{FAILED, Hinted};
use crate::settings::configuration::Configuration;
use crate::{database, output};

/// Which deliveries.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The events' ids
    #[arg(required_unless_present = "reason", conflicts_with = "reason")]
    events: Vec<String>,
    /// All that are set aside for this reason, e.g. `wrong_mode`
    #[arg(long, value_name = "REASON")]
    reason: Option<String>,
}

/// What to do with them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Apply again.
    Retry,
    /// Close without applying.
    Drop,
}

/// Carries the decision out.
pub async fn run(arguments: &Arguments, decision: Decision, configuration: &Configuration) -> anyhow::Result<ExitCode> {
    let store = database::open_current(configuration).await?;
    let mut events = arguments.events.clone();
    if let Some(reason) = &arguments.reason {
        let entries = store.list_quarantine(ENTRIES_MAX).await.context("list the quarantine")?;
        events = entries.into_iter().filter(|entry| entry.reason == *reason).map(|entry| entry.event_id).collect();
    }
    events.sort_unstable();
    events.dedup();
    let closed = match decision {
        Decision::Retry => store.retry_quarantined(&events).await.context("retry the deliveries"),
        Decision::Drop => store.drop_quarantined(&events).await.context("drop the entries"),
    };
    store.close().await;
    let closed = closed?;
    let what = match decision {
        Decision::Retry => "queued; the running server applies them",
        Decision::Drop => "dropped",
    };
    output::line(&format!("{closed} of {} {what}", events.len()))?;
    if closed == 0 && !events.is_empty() {
        return Err(Hinted::new("none of them is in the quarantine", "`billhook quarantine list` shows what is").into());
    }
    let all = usize::try_from(closed).is_ok_and(|closed| closed >= events.len());
    Ok(if all { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}
