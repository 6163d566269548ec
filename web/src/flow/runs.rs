//! `/v1/runs`, to look at.

use billhook_core::run::RunState;
use billhook_store::{FlowRunDetail, FlowRunFilter, FlowRunSummary, FlowStep};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{Answer, Asked, Refusal, no_run, raw, text};

/// A run as callers see it.
#[derive(Serialize)]
pub(super) struct Run<'a> {
    run_id: &'a str,
    function_id: &'a str,
    event_id: &'a str,
    event_name: Option<&'a str>,
    /// The state in the words that clients of workflow servers wait for.
    status: &'static str,
    /// The state in Billhook's own words, which are finer.
    state: &'static str,
    run_started_at: String,
    first_executed_at: Option<String>,
    ended_at: Option<String>,
    due_at: Option<String>,
    holder: Option<&'a str>,
    failures: u32,
    message: Option<&'a str>,
    rerun_of: Option<&'a str>,
    /// The version of the function with which it began.
    version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    output: Option<Option<&'a RawValue>>,
    /// Why it does not go on at the moment, for people; only of a single run.
    #[serde(skip_serializing_if = "Option::is_none")]
    why: Option<String>,
}

impl<'a> From<&'a FlowRunSummary> for Run<'a> {
    fn from(run: &'a FlowRunSummary) -> Self {
        Self {
            run_id: &run.id,
            function_id: &run.function,
            event_id: &run.event_id,
            event_name: run.event_name.as_deref(),
            status: status(run.state),
            state: run.state.name(),
            run_started_at: run.created_at.to_string(),
            first_executed_at: text(run.started_at),
            ended_at: text(run.ended_at),
            due_at: text(run.due_at),
            holder: run.holder.as_deref(),
            failures: run.failures,
            message: run.message.as_deref(),
            rerun_of: run.rerun_of.as_deref(),
            version: run.version.as_deref(),
            output: None,
            why: None,
        }
    }
}

impl<'a> From<&'a FlowRunDetail> for Run<'a> {
    fn from(run: &'a FlowRunDetail) -> Self {
        Self { output: Some(raw(run.result.as_deref())), ..Self::from(&run.summary) }
    }
}

/// A parked run counts as running: it has not ended, and may go on.
fn status(state: RunState) -> &'static str {
    match state {
        RunState::Queued | RunState::Running | RunState::Waiting | RunState::Parked => "Running",
        RunState::Succeeded => "Completed",
        RunState::Failed => "Failed",
        RunState::Cancelled | RunState::Expired => "Cancelled",
    }
}

/// What is recorded of a step or a wait.
#[derive(Serialize)]
struct Step<'a> {
    id: &'a str,
    occurrence: u32,
    memo: Option<&'a RawValue>,
    is_final: bool,
    recorded_at: String,
}

impl<'a> From<&'a FlowStep> for Step<'a> {
    fn from(step: &'a FlowStep) -> Self {
        Self {
            id: &step.key.id,
            occurrence: step.key.occurrence,
            memo: raw(Some(&step.memo)),
            is_final: step.is_final,
            recorded_at: step.recorded_at.to_string(),
        }
    }
}

pub(super) async fn list(asked: &Asked<'_>) -> Answer {
    let query = asked.query;
    query.only(&["function", "state", "event_id", "started_after", "started_before", "before", "limit"])?;
    let state = |name: &str| {
        let names = RunState::ALL.map(RunState::name).join(", ");
        RunState::from_name(name).ok_or_else(|| Refusal::of_request(format!("{name} is no state; there are {names}")))
    };
    let filter = FlowRunFilter {
        function: query.owned("function"),
        state: query.get("state").map(state).transpose()?,
        event_id: query.owned("event_id"),
        created_after: query.time("started_after")?,
        created_before: query.time("started_before")?,
        before: query.owned("before"),
        limit: query.limit()?,
    };
    let runs = asked.store.list_flow_runs(filter).await?;
    asked.answer(runs.iter().map(Run::from).collect::<Vec<_>>())
}

pub(super) async fn show(asked: &Asked<'_>) -> Answer {
    asked.query.only(&[])?;
    let run = asked.store.flow_run_detail(asked.id).await?.ok_or_else(|| no_run(asked.id))?;
    let steps = asked.store.flow_steps(asked.id).await?;
    let why = asked.store.flow_run(asked.id).await?.map(|run| billhook_flow::why(&run, &steps));
    asked.answer(Run { why, ..Run::from(&run) })
}

pub(super) async fn steps(asked: &Asked<'_>) -> Answer {
    asked.query.only(&[])?;
    let steps = asked.store.flow_run_steps(asked.id).await?;
    if steps.is_empty() && asked.store.flow_run(asked.id).await?.is_none() {
        return Err(no_run(asked.id));
    }
    asked.answer(steps.iter().map(Step::from).collect::<Vec<_>>())
}
