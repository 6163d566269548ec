//! Fault F4: other code is deployed while runs sleep, and the process that has it is killed as well.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

use billhook_core::step::StepKey;
use billhook_flow::engine::ORPHANS;
use billhook_flow::{Ctx, Event, Function, Functions, Memo, Result, Versions, function, hours};
use billhook_testkit::wait;
use serde_json::{Value, json};

use crate::functions::{App, step};
use crate::kill::rounds;
use crate::process::{Host, Settings};
use crate::world::{PATIENCE, World, on_postgres, on_sqlite};

/// Runs that sleep when it happens, in the short form and in the long one.
const RUNS: (usize, usize) = (240, 1_000);
/// Short, so that what the killed process held is soon due again.
const LEASE_MILLISECONDS: u64 = 1_500;
/// The runs sleep for an hour; a pinned one is parked a quarter of an hour later.
const LATER_SECONDS: i64 = 3_601;
const PARKED_SECONDS: i64 = LATER_SECONDS + 902;

/// A change of a function.
struct Change {
    function: &'static str,
    /// Steps that were recorded before.
    before: &'static [&'static str],
    /// Steps that run afterwards.
    after: &'static [&'static str],
    /// What is left over.
    orphans: &'static [&'static str],
    /// How the message of its parked runs begins; others succeed.
    parked: Option<&'static str>,
}

const CHANGES: [Change; 8] = [
    Change { function: "adds", before: &["a"], after: &["early", "late", "z"], orphans: &[], parked: None },
    Change { function: "removes", before: &["a", "b"], after: &["z"], orphans: &["b"], parked: None },
    Change { function: "reorders", before: &["a", "b"], after: &["z"], orphans: &[], parked: None },
    Change { function: "renames", before: &["a"], after: &["z"], orphans: &[], parked: None },
    Change { function: "renames-unstated", before: &["a"], after: &["other", "z"], orphans: &["a"], parked: None },
    Change {
        function: "loses-its-sleep",
        before: &["a"],
        after: &["z"],
        orphans: &["pause"],
        parked: Some("needs migration"),
    },
    Change { function: "pinned", before: &["a"], after: &["z"], orphans: &[], parked: None },
    Change {
        function: "pinned-and-gone",
        before: &["a"],
        after: &[],
        orphans: &[],
        parked: Some("needs version \"1\""),
    },
];

/// One step, an hour, another step.
async fn short(event: Event, ctx: Ctx<App>) -> Result<()> {
    step(&ctx, &event, "a").await?;
    ctx.sleep("pause", hours(1)).await;
    step(&ctx, &event, "z").await
}

async fn long(event: Event, ctx: Ctx<App>) -> Result<()> {
    step(&ctx, &event, "a").await?;
    step(&ctx, &event, "b").await?;
    ctx.sleep("pause", hours(1)).await;
    step(&ctx, &event, "z").await
}

async fn with_more(event: Event, ctx: Ctx<App>) -> Result<()> {
    step(&ctx, &event, "early").await?;
    step(&ctx, &event, "a").await?;
    ctx.sleep("pause", hours(1)).await;
    step(&ctx, &event, "late").await?;
    step(&ctx, &event, "z").await
}

async fn in_another_order(event: Event, ctx: Ctx<App>) -> Result<()> {
    step(&ctx, &event, "b").await?;
    ctx.sleep("pause", hours(1)).await;
    step(&ctx, &event, "a").await?;
    step(&ctx, &event, "z").await
}

async fn renamed(event: Event, ctx: Ctx<App>) -> Result<()> {
    let (app, run, of) = (ctx.app(), ctx.run(), event.id.as_str());
    let told = ctx.step_with("a2", |call| async move { app.tell(run, "a2", of, call.idempotency_key()).await });
    told.renamed_from("a").await?;
    ctx.sleep("an hour", hours(1)).renamed_from("pause").await;
    step(&ctx, &event, "z").await
}

async fn renamed_unstated(event: Event, ctx: Ctx<App>) -> Result<()> {
    step(&ctx, &event, "other").await?;
    ctx.sleep("pause", hours(1)).await;
    step(&ctx, &event, "z").await
}

async fn without_sleep(event: Event, ctx: Ctx<App>) -> Result<()> {
    step(&ctx, &event, "a").await?;
    step(&ctx, &event, "z").await
}

/// The functions of a deploy: the first one or the second.
pub fn functions(deploy: i64) -> Functions<App> {
    let of = |one: Function<App>, number: &str| {
        let event = format!("app/{}", one.id());
        one.version(number).on(event)
    };
    let pinned = |one: Function<App>, number: &str| of(one, number).versions(Versions::Pinned);
    let first = |id: &str| pinned(function(id, short), "1");
    if deploy == 1 {
        return Functions::new()
            .add(of(function("adds", short), "1"))
            .add(of(function("removes", long), "1"))
            .add(of(function("reorders", long), "1"))
            .add(of(function("renames", short), "1"))
            .add(of(function("renames-unstated", short), "1"))
            .add(of(function("loses-its-sleep", short), "1"))
            .add(first("pinned"))
            .add(first("pinned-and-gone"));
    }
    Functions::new()
        .add(of(function("adds", with_more), "2"))
        .add(of(function("removes", short), "2"))
        .add(of(function("reorders", in_another_order), "2"))
        .add(of(function("renames", renamed), "2"))
        .add(of(function("renames-unstated", renamed_unstated), "2"))
        .add(of(function("loses-its-sleep", without_sleep), "2"))
        .add(first("pinned"))
        .add(pinned(function("pinned", without_sleep), "2"))
        .add(pinned(function("pinned-and-gone", without_sleep), "2"))
}

fn in_state(world: &World, condition: &str) -> usize {
    usize::try_from(world.number(&format!("SELECT count(*) FROM {{flow_runs}} WHERE {condition}"))).unwrap()
}

fn until(world: &mut World, host: &mut Host, what: &str, condition: &str, runs: usize) {
    let reached = wait::until(what, PATIENCE, || {
        assert!(world.tend(host), "the process died");
        (in_state(world, condition) >= runs).then_some(())
    });
    if let Err(error) = reached {
        panic!("{error}: {:?}", world.rows(&format!("SELECT * FROM {{flow_runs}} WHERE NOT ({condition}) LIMIT 5")));
    }
}

fn deploy_while_runs_sleep(mut world: World) {
    let runs = rounds().map_or(RUNS.0, |_long| RUNS.1);
    let began = Instant::now();
    let settings = Settings { lease_ms: Some(LEASE_MILLISECONDS), deploy: Some(1), ..Settings::default() };
    let mut first = Host::start(&world, &settings);
    for number in 0..runs {
        let Change { function, .. } = CHANGES[number % CHANGES.len()];
        world.publish(&format!("{function}-{number}"), &format!("app/{function}"), json!({}));
    }
    until(&mut world, &mut first, "all to sleep", "state = 'waiting'", runs);
    first.kill();
    let settings = Settings { deploy: Some(2), clock_seconds: LATER_SECONDS, ..settings };
    let mut second = Host::start(&world, &settings);
    until(&mut world, &mut second, "some to end", "ended_at IS NOT NULL", runs / CHANGES.len());
    second.kill();
    let mut second = Host::start(&world, &settings);
    let gone = in_state(&world, "function = 'pinned-and-gone'");
    until(&mut world, &mut second, "all others to rest", "due_at IS NULL", runs - gone);
    assert_eq!(in_state(&world, "function = 'pinned-and-gone' AND due_at IS NOT NULL"), gone, "they wait");
    second.set_clock(PARKED_SECONDS);
    until(&mut world, &mut second, "all to rest", "due_at IS NULL", runs);
    let report = world.check(&[]);
    let called = called(&world);
    for change in &CHANGES {
        check(&world, change, &called);
    }
    println!("F4 on {}: {runs} runs, {report}, in {:?}", world.dialect(), began.elapsed());
}

/// The steps that were called for each event, by the number of their processes.
fn called(world: &World) -> BTreeMap<String, BTreeMap<String, usize>> {
    let mut called: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
    for told in world.observer.calls() {
        *called.entry(told.run).or_default().entry(told.step).or_default() += 1;
    }
    called
}

fn check(world: &World, change: &Change, called: &BTreeMap<String, BTreeMap<String, usize>>) {
    let Change { function, before, after, orphans, parked } = change;
    let runs = world.rows(&format!("SELECT id, state, message FROM {{flow_runs}} WHERE function = '{function}'"));
    assert!(!runs.is_empty());
    for run in runs {
        let steps = &called[run["id"].as_str().unwrap()];
        let names: BTreeSet<&str> = steps.keys().map(String::as_str).collect();
        let expected: BTreeSet<&str> = before.iter().chain(*after).copied().collect();
        assert_eq!(names, expected, "{function}: {run}");
        for step in *before {
            assert_eq!(steps[*step], 1, "{step} of {function} was recorded before: {run}");
        }
        let message = run["message"].as_str().unwrap_or_default();
        match parked {
            Some(why) => assert!(run["state"] == "parked" && message.starts_with(why), "{function}: {run}"),
            None => assert_eq!(run["state"], "succeeded", "{function}: {run}"),
        }
        assert_eq!(left_over(world, &run), *orphans, "{function}: {run}");
    }
}

/// What the run's record says of steps that are gone.
fn left_over(world: &World, run: &Value) -> Vec<String> {
    let id = run["id"].as_str().unwrap();
    let rows = world.rows(&format!("SELECT memo FROM {{flow_steps}} WHERE run = '{id}' AND step = '{ORPHANS}'"));
    let Some(row) = rows.first() else { return Vec::new() };
    let Memo::Done(keys) = serde_json::from_str(row["memo"].as_str().unwrap()).unwrap() else { panic!("{row}") };
    let keys: Vec<(String, u32)> = serde_json::from_value(keys).unwrap();
    keys.into_iter().map(|(id, occurrence)| StepKey::new(id, occurrence).to_string()).collect()
}

#[test]
fn f4_a_deploy_while_runs_sleep_loses_and_doubles_nothing_on_sqlite() {
    on_sqlite(deploy_while_runs_sleep);
}

#[test]
fn f4_a_deploy_while_runs_sleep_loses_and_doubles_nothing_on_postgres() {
    on_postgres("f4_a_deploy_while_runs_sleep_loses_and_doubles_nothing_on_postgres", deploy_while_runs_sleep);
}
