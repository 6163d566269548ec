//! `billhook runs cancel`: by id, or all runs of a function.

use std::process::ExitCode;

use anyhow::Context as _;
use billhook_core::ulid::ulid;
use billhook_store::Cancellation;
use jiff::Timestamp;

use super::orders::{Words, answer};
use crate::command::clock;
use crate::settings::configuration::Configuration;
use crate::{database, output};

/// Which runs.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The runs' ids
    #[arg(required_unless_present = "function", conflicts_with = "function")]
    runs: Vec<String>,
    /// All runs of this function that have not ended
    #[arg(long, value_name = "FUNCTION")]
    function: Option<String>,
    /// With --function: only those that this event started
    #[arg(long, value_name = "EVENT", requires = "function")]
    event: Option<String>,
    /// With --function: only those started at this time or later, e.g. 2026-01-31T12:00:00Z
    #[arg(long, value_name = "TIME", requires = "function")]
    started_after: Option<Timestamp>,
    /// With --function: only those started before this time
    #[arg(long, value_name = "TIME", requires = "function")]
    started_before: Option<Timestamp>,
    /// With --function: only say how many there are
    #[arg(long, requires = "function")]
    dry_run: bool,
    /// Why; the runs keep it
    #[arg(long, value_name = "TEXT", default_value = "called off on the command line")]
    reason: String,
}

const CANCEL: Words =
    Words { done: "is cancelled", refused: "a run that has ended stays as it is; `billhook runs show` shows its end" };

/// Calls runs off.
pub async fn run(arguments: &Arguments, configuration: &Configuration) -> anyhow::Result<ExitCode> {
    let store = database::open_current(configuration).await?;
    let now = clock::now(&store).await?;
    let Some(function) = &arguments.function else {
        let mut verdicts = Vec::with_capacity(arguments.runs.len());
        for run in &arguments.runs {
            verdicts.push((run.as_str(), store.cancel_flow_run(run, &arguments.reason, now).await, None));
        }
        store.hint_flow_runs().await;
        store.close().await;
        return answer(verdicts, &CANCEL);
    };
    let cancellation = Cancellation {
        id: ulid(now),
        function: function.clone(),
        event_id: arguments.event.clone(),
        created_after: arguments.started_after,
        created_before: arguments.started_before.unwrap_or(now).min(now),
        reason: arguments.reason.clone(),
        requested_at: now,
    };
    let runs = if arguments.dry_run {
        store.cancellable_flow_runs(&cancellation).await.context("count the runs")
    } else {
        store.cancel_all_flow_runs(&cancellation, now).await.context("call the runs off")
    };
    store.hint_flow_runs().await;
    store.close().await;
    let (runs, what) = (runs?, if arguments.dry_run { "would be cancelled" } else { "cancelled" });
    output::line(&format!("{runs} runs of {} {what}", output::printable(function)))?;
    Ok(ExitCode::SUCCESS)
}
