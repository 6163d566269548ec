//! Deploys: what becomes of runs whose code is changed while they sleep.

use std::io::Error as IoError;

use billhook_core::run::RunState;
use billhook_flow::engine::{Engine, ORPHANS};
use billhook_flow::{Ctx, Event, Function, Functions, Result, Versions, days, function, hours, minutes};
use billhook_store::Verdict;
use jiff::SignedDuration;
use serde_json::json;

use super::{App, House, on_both};

async fn noted(ctx: &Ctx<App>, id: &'static str) -> Result<()> {
    let world = &ctx.app().world;
    ctx.step(id, || async { Ok::<_, IoError>(world.note(id)) }).await
}

/// A step, a step that is gone later, a pause, a step.
async fn first(_event: Event, ctx: Ctx<App>) -> Result<&'static str> {
    noted(&ctx, "keep").await?;
    noted(&ctx, "remove").await?;
    noted(&ctx, "old name").await?;
    noted(&ctx, "unstated").await?;
    ctx.sleep("pause", days(3)).await;
    noted(&ctx, "after").await?;
    Ok("first")
}

/// The same with every change that needs no decision.
async fn second(_event: Event, ctx: Ctx<App>) -> Result<&'static str> {
    let world = &ctx.app().world;
    noted(&ctx, "added").await?;
    let renamed = ctx.step_with("new name", |call| async move { Ok::<_, IoError>(world.call("new name", &call)) });
    renamed.renamed_from("old name").await?;
    ctx.step("keep", || async { Ok::<_, IoError>(world.note("another body")) }).await?;
    noted(&ctx, "anew").await?;
    ctx.sleep("long pause", days(30)).renamed_from("pause").await;
    noted(&ctx, "after").await?;
    Ok("second")
}

/// The pause is gone, and so is the wait.
async fn third(_event: Event, ctx: Ctx<App>) -> Result<&'static str> {
    noted(&ctx, "keep").await?;
    Ok("third")
}

async fn waits(_event: Event, ctx: Ctx<App>) -> Result<bool> {
    noted(&ctx, "keep").await?;
    let came = ctx.wait_for_event::<serde_json::Value>("word", "app/word").timeout(days(3)).await;
    Ok(came.is_some())
}

/// Waits for something else instead.
async fn waits_otherwise(_event: Event, ctx: Ctx<App>) -> Result<bool> {
    noted(&ctx, "keep").await?;
    let came = ctx.wait_for_event::<serde_json::Value>("other", "app/other").timeout(days(3)).await;
    Ok(came.is_some())
}

fn only(function: Function<App>) -> Functions<App> {
    Functions::new().add(function.on("app/deploy"))
}

fn pinned(function: Function<App>, version: &str) -> Function<App> {
    function.version(version).versions(Versions::Pinned).on("app/deploy")
}

impl House {
    /// Sends an event and waits until its run rests.
    async fn resting(&self, functions: &Functions<App>) -> String {
        let event = Event::new("evt_1", "app/deploy", json!({}), self.clock());
        let run = self.publish_to(functions, event).await.unwrap();
        self.until(&run, RunState::Waiting).await;
        run
    }

    fn clock(&self) -> jiff::Timestamp {
        billhook_core::Clock::now(&*self.clock)
    }

    async fn deployed(&self, before: Engine, functions: Functions<App>) -> Engine {
        before.stop().await;
        self.engine_of("next", functions)
    }

    /// A run that these functions began and that rests, and an engine with others, three days later.
    async fn woken_by(&self, before: Functions<App>, after: Functions<App>) -> (String, Engine) {
        let engine = self.engine_of("one", before.clone());
        let run = self.resting(&before).await;
        let engine = self.deployed(engine, after).await;
        self.clock.advance(days(3));
        (run, engine)
    }

    /// Sends another event; returns the run that it starts.
    async fn started_by(&self, functions: &Functions<App>) -> String {
        self.publish_to(functions, Event::new("evt_2", "app/deploy", json!({}), self.clock())).await.unwrap()
    }

    /// Lets a parked run go on.
    async fn retried(&self, run: &str) {
        assert_eq!(self.store.retry_flow_run(run, self.clock()).await.unwrap(), Verdict::Done);
    }

    async fn message(&self, run: &str) -> String {
        self.run(run).await.message.unwrap_or_default()
    }
}

#[test]
fn memos_are_matched_by_the_ids_of_steps_and_what_is_left_over_is_shown() {
    on_both("versions_latest", async |house: House| {
        let (run, engine) =
            house.woken_by(only(function("f", first).version("1")), only(function("f", second).version("2"))).await;
        let ended = house.until(&run, RunState::Succeeded).await;
        assert_eq!(ended.result.as_deref(), Some("\"second\""));
        let seen = house.app.world.seen();
        assert_eq!(seen, ["keep", "remove", "old name", "unstated", "added", "anew", "after"]);
        let steps = house.store.flow_run_steps(&run).await.unwrap();
        let orphans = steps.iter().find(|step| step.key.id == ORPHANS).expect("they are recorded");
        assert_eq!(orphans.memo, r#"{"done":[["remove",1],["unstated",1]]}"#);
        let detail = house.store.flow_run_detail(&run).await.unwrap().unwrap();
        assert_eq!(detail.summary.version.as_deref(), Some("1"), "the one with which it began");
        engine.abandon();
    });
}

#[test]
fn a_run_whose_sleep_is_gone_is_parked_and_goes_on_when_a_person_says_so() {
    on_both("versions_sleep", async |house: House| {
        let (run, engine) =
            house.woken_by(only(function("f", first).version("1")), only(function("f", third).version("3"))).await;
        house.until(&run, RunState::Parked).await;
        let message = house.message(&run).await;
        assert!(message.starts_with("needs migration") && message.contains("pause"), "{message}");
        house.retried(&run).await;
        house.until(&run, RunState::Succeeded).await;
        engine.abandon();
    });
}

#[test]
fn a_parked_run_goes_on_in_its_sleep_when_code_comes_that_has_it() {
    on_both("versions_back", async |house: House| {
        let (run, engine) =
            house.woken_by(only(function("f", first).version("1")), only(function("f", third).version("3"))).await;
        house.until(&run, RunState::Parked).await;
        let engine = house.deployed(engine, only(function("f", second).version("4"))).await;
        house.retried(&run).await;
        house.until(&run, RunState::Succeeded).await;
        assert_eq!(house.app.world.count("after"), 1);
        engine.abandon();
    });
}

#[test]
fn a_run_whose_wait_is_gone_is_parked_before_it_waits_for_something_else() {
    on_both("versions_wait", async |house: House| {
        for came in [false, true] {
            let before = only(function("f", waits).version("1"));
            let engine = house.engine_of("one", before.clone());
            let id = format!("evt_{came}");
            let event = Event::new(id.as_str(), "app/deploy", json!({}), house.clock());
            let run = house.publish_to(&before, event).await.unwrap();
            house.until(&run, RunState::Waiting).await;
            let engine = house.deployed(engine, only(function("f", waits_otherwise).version("2"))).await;
            house.clock.advance(hours(1));
            if came {
                house.publish(Event::new("word", "app/word", json!({}), house.clock())).await;
            } else {
                house.clock.advance(days(3));
            }
            house.until(&run, RunState::Parked).await;
            let message = house.message(&run).await;
            assert!(message.contains("does not come to \"word\""), "{message}");
            let steps = house.store.flow_run_steps(&run).await.unwrap();
            assert!(!steps.iter().any(|step| step.key.id == "other"), "it began no other wait: {steps:?}");
            engine.abandon();
        }
    });
}

/// A look at the clock between steps costs nobody anything.
#[test]
fn without_another_version_nothing_is_asked() {
    on_both("versions_none", async |house: House| {
        let (run, engine) =
            house.woken_by(only(function("f", first).version("1")), only(function("f", third).version("1"))).await;
        house.until(&run, RunState::Succeeded).await;
        engine.abandon();
    });
}

#[test]
fn a_pinned_run_is_executed_by_the_version_with_which_it_began() {
    on_both("versions_pinned", async |house: House| {
        let one = pinned(function("f", first), "1");
        let both = Functions::new().add(one.clone()).add(pinned(function("f", third), "2"));
        assert!(both.check().is_ok());
        let (run, engine) = house.woken_by(Functions::new().add(one), both.clone()).await;
        assert_eq!(house.until(&run, RunState::Succeeded).await.result.as_deref(), Some("\"first\""));
        let new = house.started_by(&both).await;
        assert_eq!(house.until(&new, RunState::Succeeded).await.result.as_deref(), Some("\"third\""));
        engine.abandon();
    });
}

#[test]
fn a_pinned_run_whose_version_nobody_has_waits_and_is_parked() {
    on_both("versions_missing", async |house: House| {
        let one = pinned(function("f", first), "1");
        let two = Functions::new().add(pinned(function("f", third), "2"));
        let (run, engine) = house.woken_by(Functions::new().add(one.clone()), two.clone()).await;
        // Whoever is due later and can be executed is, so the other one was looked at.
        let new = house.started_by(&two).await;
        house.until(&new, RunState::Succeeded).await;
        assert_eq!(house.run(&run).await.state, RunState::Waiting);
        house.clock.advance(minutes(15) + SignedDuration::from_secs(1));
        house.until(&run, RunState::Parked).await;
        let message = house.message(&run).await;
        assert!(message.starts_with("needs version \"1\""), "{message}");
        let both = Functions::new().add(one).and(two);
        let engine = house.deployed(engine, both).await;
        house.retried(&run).await;
        assert_eq!(house.until(&run, RunState::Succeeded).await.result.as_deref(), Some("\"first\""));
        engine.abandon();
    });
}
