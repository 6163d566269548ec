//! `billhook runs show`: what happened in a run, in the order of time, and why it does not go on.

use std::collections::HashSet;
use std::process::ExitCode;

use anyhow::Context as _;
use billhook_core::run::RunState;
use billhook_core::step::StepKey;
use billhook_flow::Memo;
use billhook_flow::engine::ORPHANS;
use billhook_store::{FlowRunDetail, FlowStep, KeptEvent, PausedFunction, Store};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::value::RawValue;

use super::shown::{Run, shortened, until};
use crate::command::clock;
use crate::output::{self, Listing};
use crate::settings::configuration::Configuration;

/// Characters of a recorded result; `--json` prints all of it.
const RESULT_CHARACTERS_MAX: usize = 120;

/// Which run.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The run's id
    run: String,
    /// Print JSON, with results in full
    #[arg(long)]
    json: bool,
}

/// All that is known of a run.
struct Known {
    run: FlowRunDetail,
    event: Option<KeptEvent>,
    steps: Vec<FlowStep>,
    pause: Option<PausedFunction>,
    /// The limit that holds it back, in words.
    limit: Option<String>,
}

/// A run, for programs.
#[derive(Serialize)]
struct Document<'a> {
    #[serde(flatten)]
    run: Run<'a>,
    standing: String,
    result: Option<&'a RawValue>,
    steps: Vec<Step<'a>>,
}

#[derive(Serialize)]
struct Step<'a> {
    id: &'a str,
    occurrence: u32,
    recorded_at: String,
    is_final: bool,
    /// The code of the run has no such step any more.
    is_orphan: bool,
    memo: Option<&'a RawValue>,
}

/// Shows one run.
pub async fn run(arguments: &Arguments, configuration: &Configuration) -> anyhow::Result<ExitCode> {
    let store = crate::database::open_current(configuration).await?;
    let known = read(&store, &arguments.run).await;
    let now = clock::now(&store).await;
    store.close().await;
    let Some(known) = known.context("read the run")? else { return Err(super::orders::unknown(&arguments.run)) };
    let now = now.context("read the clock of functions")?;
    if arguments.json {
        output::json(&document(&known, now))?;
    } else {
        print(&known, now)?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn read(store: &Store, id: &str) -> anyhow::Result<Option<Known>> {
    let Some(run) = store.flow_run_detail(id).await? else { return Ok(None) };
    let event = store.flow_event(&run.summary.event_id).await?;
    let steps = store.flow_run_steps(id).await?;
    let pause = store.paused_functions().await?.into_iter().find(|paused| paused.id == run.summary.function);
    let limit = store.flow_run(id).await?.filter(|run| run.blocked.is_some() || run.pause.is_some());
    let limit = limit.map(|run| billhook_flow::why(&run, &[]));
    Ok(Some(Known { run, event, steps, pause, limit }))
}

fn document(known: &Known, now: Timestamp) -> Document<'_> {
    let orphans = orphans(&known.steps);
    Document {
        run: Run::from(&known.run.summary),
        standing: standing(known, now),
        result: known.run.result.as_deref().and_then(|text| serde_json::from_str(text).ok()),
        steps: known.steps.iter().map(|step| Step::new(step, &orphans)).collect(),
    }
}

/// The steps that the run's code does not come to any more, as its engine recorded them.
fn orphans(steps: &[FlowStep]) -> HashSet<StepKey> {
    let recorded = steps.iter().find(|step| step.key.id == ORPHANS);
    let Some(Ok(Memo::Done(keys))) = recorded.map(|step| serde_json::from_str(&step.memo)) else {
        return HashSet::new();
    };
    let keys: Vec<(String, u32)> = serde_json::from_value(keys).unwrap_or_default();
    keys.into_iter().map(|(id, occurrence)| StepKey::new(id, occurrence)).collect()
}

impl<'a> Step<'a> {
    fn new(step: &'a FlowStep, orphans: &HashSet<StepKey>) -> Self {
        Self {
            is_orphan: orphans.contains(&step.key),
            id: &step.key.id,
            occurrence: step.key.occurrence,
            recorded_at: step.recorded_at.to_string(),
            is_final: step.is_final,
            memo: serde_json::from_str(&step.memo).ok(),
        }
    }
}

fn print(known: &Known, now: Timestamp) -> anyhow::Result<()> {
    let FlowRunDetail { summary, result } = &known.run;
    let event_name = summary.event_name.as_deref().unwrap_or("(no longer kept)");
    for (name, value) in [
        ("run", Some(summary.id.clone())),
        ("function", Some(summary.function.clone())),
        ("event", Some(format!("{} {event_name}", summary.event_id))),
        ("state", Some(summary.state.name().to_owned())),
        ("why", Some(standing(known, now))),
        ("result", result.as_deref().map(|result| shortened(result, RESULT_CHARACTERS_MAX))),
        ("rerun of", summary.rerun_of.clone()),
        ("version", summary.version.clone().filter(|version| !version.is_empty())),
    ] {
        if let Some(value) = value {
            output::line(&format!("{name:<10}{}", output::printable(&value)))?;
        }
    }
    output::line("")?;
    let mut listing = Listing::new(&["TIME", "WHAT", "HAPPENED"]);
    for (time, what, happened) in timeline(known, now) {
        listing.add([format!("{time:.3}"), what, happened]);
    }
    listing.print()?;
    Ok(())
}

/// What happened, oldest first.
fn timeline(known: &Known, now: Timestamp) -> Vec<(Timestamp, String, String)> {
    let run = &known.run.summary;
    let mut lines = Vec::with_capacity(known.steps.len() + 4);
    if let Some(KeptEvent { event, .. }) = &known.event {
        lines.push((event.ts, "event".to_owned(), format!("{} {}", event.name, event.id)));
    }
    lines.push((run.created_at, "run".to_owned(), "created".to_owned()));
    lines.extend(run.started_at.map(|started| (started, "run".to_owned(), "first executed".to_owned())));
    let orphans = orphans(&known.steps);
    for step in known.steps.iter().filter(|step| step.key.id != ORPHANS) {
        let gone = if orphans.contains(&step.key) { "; the code has no such step any more" } else { "" };
        lines.push((step.recorded_at, step.key.to_string(), format!("{}{gone}", recorded(&step.memo, now))));
    }
    lines.extend(run.ended_at.map(|ended| (ended, "run".to_owned(), ending(run.state, run.message.as_deref()))));
    // Stable: what has one time stays in the order in which it can have happened.
    lines.sort_by_key(|(time, _, _)| *time);
    lines
}

fn ending(state: RunState, message: Option<&str>) -> String {
    let message = message.map(|message| format!(": {message}")).unwrap_or_default();
    format!("{}{message}", state.name())
}

/// A memo in words.
fn recorded(memo: &str, now: Timestamp) -> String {
    match serde_json::from_str(memo) {
        Ok(Memo::Done(value)) => format!("done: {}", shortened(&value.to_string(), RESULT_CHARACTERS_MAX)),
        Ok(Memo::Failed(error)) => format!("failed for good: {}", error.message),
        Ok(Memo::Retry { attempts, at, error }) => {
            format!("attempt {attempts} failed: {}; next attempt {}", error.message, until(at, now))
        }
        Ok(Memo::Begun) => "began; it must not run twice, and nothing is known of its end".to_owned(),
        Ok(Memo::Sleep { until: end }) if end <= now => format!("slept until {}", until(end, now)),
        Ok(Memo::Sleep { until: end }) => format!("sleeps until {}", until(end, now)),
        Ok(Memo::Event { name, matching, until: end }) => {
            let matching = if matching.is_empty() { String::new() } else { format!(" with {matching}") };
            format!("waits for {name}{matching} until {}", until(end, now))
        }
        Ok(Memo::Came(Some(event))) => format!("{} {} came", event.name, event.id),
        Ok(Memo::Came(None)) => "no event came in time".to_owned(),
        Err(_) => format!("recorded by another version: {}", shortened(memo, RESULT_CHARACTERS_MAX)),
    }
}

/// Why the run is where it is, and what can be done.
fn standing(known: &Known, now: Timestamp) -> String {
    let run = &known.run.summary;
    let message = run.message.as_deref().unwrap_or("no reason is recorded");
    let due = run.due_at.unwrap_or(now);
    match run.state {
        RunState::Queued | RunState::Waiting if known.pause.is_some() => {
            let pause = known.pause.as_ref().map(|pause| (pause.paused_at, pause.reason.as_str()));
            let (since, reason) = pause.unwrap_or((now, ""));
            format!(
                "its function is paused since {}: {reason}; `billhook functions resume` ends that",
                until(since, now)
            )
        }
        RunState::Queued | RunState::Waiting if known.limit.is_some() => known.limit.clone().unwrap_or_default(),
        RunState::Queued if due > now => format!("it starts {}", until(due, now)),
        RunState::Queued => {
            format!("it is due since {}; a server that knows the function takes it when it has room", until(due, now))
        }
        RunState::Running => {
            let holder = run.holder.as_deref().unwrap_or("a server");
            if due > now {
                format!("{holder} executes it; its lease ends {}", until(due, now))
            } else {
                format!(
                    "{holder} has given no sign of life; another server takes it, the lease ended {}",
                    until(due, now)
                )
            }
        }
        RunState::Waiting => waiting(known, due, now),
        RunState::Parked => format!("{message}; decide with `billhook runs retry`, `resolve` or `cancel`"),
        RunState::Failed => {
            format!(
                "{message}; `billhook runs retry` goes on from there, `rerun` starts again, `resolve` gives a result"
            )
        }
        RunState::Succeeded | RunState::Cancelled | RunState::Expired => {
            run.message.clone().unwrap_or_else(|| "it is over".to_owned())
        }
    }
}

/// What a waiting run waits for: any of these lets it go on.
fn waiting(known: &Known, due: Timestamp, now: Timestamp) -> String {
    let run = &known.run.summary;
    if let Some(message) = &run.message {
        let failures = run.failures;
        return format!("the function failed ({failures} so far): {message}; it is executed again {}", until(due, now));
    }
    let open = |step: &&FlowStep| match serde_json::from_str(&step.memo) {
        Ok(Memo::Retry { at, .. }) => at > now,
        Ok(Memo::Sleep { until } | Memo::Event { until, .. }) => until > now,
        _ => false,
    };
    let waits = known.steps.iter().filter(open);
    let waits: Vec<String> = waits.map(|step| format!("{} {}", step.key, recorded(&step.memo, now))).collect();
    if waits.is_empty() { format!("it goes on {}", until(due, now)) } else { waits.join("; or ") }
}
