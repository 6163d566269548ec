//! `billhook runs retry`, `rerun` and `resolve`, and how every order is answered.

use std::process::ExitCode;

use anyhow::Context as _;
use billhook_core::ulid::ulid;
use billhook_store::{StoreError, Verdict};
use serde_json::value::RawValue;

use crate::command::clock;
use crate::failure::{FAILED, Hinted};
use crate::settings::configuration::Configuration;
use crate::{database, output};

/// Which runs.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The runs' ids
    #[arg(required = true, num_args = 1..)]
    runs: Vec<String>,
}

/// Which run, with what result.
#[derive(Debug, clap::Args)]
pub struct Resolution {
    /// The run's id
    run: String,
    /// What the function would have returned, as JSON
    #[arg(long, value_name = "JSON")]
    value: String,
    /// Who decides so, and why; the run keeps it
    #[arg(long, value_name = "TEXT")]
    reason: String,
}

/// What an order did, and which runs it is for.
pub struct Words {
    /// What is said of a run for which it was done.
    pub done: &'static str,
    /// What is said of a run for which it means nothing.
    pub refused: &'static str,
}

const RETRY: Words = Words {
    done: "goes on; a running server takes it",
    refused: "only failed and parked runs are retried; `billhook runs rerun` starts one again that is over",
};
const RERUN: Words = Words {
    done: "is started again",
    refused: "only runs that are over or parked are started again; `billhook runs cancel` ends one",
};
const RESOLVE: Words = Words {
    done: "ended with the given result",
    refused: "only failed and parked runs are given a result; `billhook runs cancel` ends one that goes on",
};

/// Lets runs go on.
pub async fn retry(arguments: &Arguments, configuration: &Configuration) -> anyhow::Result<ExitCode> {
    let store = database::open_current(configuration).await?;
    let now = clock::now(&store).await?;
    let mut verdicts = Vec::with_capacity(arguments.runs.len());
    for run in &arguments.runs {
        verdicts.push((run.as_str(), store.retry_flow_run(run, now).await, None));
    }
    store.hint_flow_runs().await;
    store.close().await;
    answer(verdicts, &RETRY)
}

/// Starts runs again.
pub async fn rerun(arguments: &Arguments, configuration: &Configuration) -> anyhow::Result<ExitCode> {
    let store = database::open_current(configuration).await?;
    let now = clock::now(&store).await?;
    let mut verdicts = Vec::with_capacity(arguments.runs.len());
    for run in &arguments.runs {
        let new = ulid(now);
        verdicts.push((run.as_str(), store.rerun_flow_run(run, &new, now).await, Some(format!("as {new}"))));
    }
    store.hint_flow_runs().await;
    store.close().await;
    answer(verdicts, &RERUN)
}

/// Ends a run with a result.
pub async fn resolve(arguments: &Resolution, configuration: &Configuration) -> anyhow::Result<ExitCode> {
    let Ok(value) = serde_json::from_str::<&RawValue>(&arguments.value) else {
        let hint = "write a text in double quotes within single ones: --value '\"paid\"'";
        return Err(Hinted::new("--value is no JSON", hint).into());
    };
    if arguments.reason.trim().is_empty() {
        return Err(Hinted::new("--reason is empty", "say who decides so, and why").into());
    }
    let store = database::open_current(configuration).await?;
    let now = clock::now(&store).await?;
    let verdict = store.resolve_flow_run(&arguments.run, value.get(), &arguments.reason, now).await;
    store.close().await;
    answer(vec![(arguments.run.as_str(), verdict, None)], &RESOLVE)
}

/// A run, what became of the order, and what is to be said beside it.
pub type Outcome<'a> = (&'a str, Result<Verdict, StoreError>, Option<String>);

/// Prints a line for each run. Fails with the first reason when it was done for none, and with the exit code alone when only for some.
pub fn answer(outcomes: Vec<Outcome<'_>>, words: &Words) -> anyhow::Result<ExitCode> {
    let asked = outcomes.len();
    let mut refusals = Vec::new();
    for (run, verdict, beside) in outcomes {
        match verdict.with_context(|| format!("change the run {}", output::printable(run)))? {
            Verdict::Done => {
                let beside = beside.map(|beside| format!(" {beside}")).unwrap_or_default();
                output::line(&format!("{run} {}{beside}", words.done))?;
            }
            Verdict::NotFound => refusals.push(unknown(run)),
            Verdict::Illegal(state) => {
                refusals.push(Hinted::new(format!("the run {run} is {}", state.name()), words.refused).into());
            }
            Verdict::Occupied(other) => {
                let what = format!("the run {run} has to be alone, and {other} has the same singleton key");
                refusals.push(Hinted::new(what, "wait for its end, or cancel it").into());
            }
        }
    }
    let all_refused = refusals.len() == asked;
    let mut refusals = refusals.into_iter();
    match refusals.next() {
        None => Ok(ExitCode::SUCCESS),
        Some(only) if all_refused => Err(only),
        Some(first) => {
            for refusal in std::iter::once(first).chain(refusals) {
                output::line(&refusal.to_string())?;
            }
            Ok(ExitCode::from(FAILED))
        }
    }
}

/// No run has this id.
pub fn unknown(run: &str) -> anyhow::Error {
    let message = format!("there is no run {}", output::printable(run));
    Hinted::new(message, "`billhook runs list` shows what there is").into()
}
