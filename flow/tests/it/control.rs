//! Flow control as a user declares it, on both stores.

use std::io::Error as IoError;
use std::sync::Arc;

use billhook_core::run::RunState;
use billhook_core::{Clock, ManualClock};
use billhook_flow::engine::{Engine, EngineOptions, Publish, Source, publication};
use billhook_flow::{
    Ctx, Event, Functions, Result, SingletonMode, days, function, function_batch, minutes, seconds, why,
};
use billhook_store::{FlowRun, Store};
use billhook_testkit::{TestDatabase, wait};
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use crate::World;
use crate::database::{PATIENCE, clock, opened};

#[derive(Clone)]
struct App {
    world: World,
    /// Steps of `hold` go on when there is a permit.
    gate: Arc<Semaphore>,
}

/// Notes whose run it is.
async fn note(event: Event, ctx: Ctx<App>) -> Result<()> {
    let key = event.data["key"].as_str().unwrap_or_default().to_owned();
    ctx.step("note", || async { Ok::<_, IoError>(ctx.app().world.note(key.clone())) }).await
}

/// Begins, waits for the gate, and ends.
async fn hold(event: Event, ctx: Ctx<App>) -> Result<()> {
    let App { world, gate } = ctx.app();
    let key = event.data["key"].as_str().unwrap_or_default().to_owned();
    let step = ctx.step("hold", || async {
        world.note(format!("begin {key}"));
        gate.acquire().await.map_err(IoError::other)?.forget();
        world.note(format!("end {key}"));
        Ok::<_, IoError>(())
    });
    step.await
}

async fn together(events: Vec<Event>, _ctx: Ctx<App>) -> Result<Vec<String>> {
    Ok(events.into_iter().map(|event| event.id).collect())
}

async fn asleep(_event: Event, ctx: Ctx<App>) -> Result<()> {
    ctx.sleep("long", days(1)).await;
    Ok(())
}

fn functions() -> Functions<App> {
    Functions::new()
        .add(function("fair", note).on("app/fair").concurrency(1_000).by("event.data.key"))
        .add(function("urgent", note).on("app/urgent").priority("event.data.plan == 'gold' ? 3600 : 0"))
        .add(function("hold", hold).on("app/hold").concurrency(2).concurrency(1).by("event.data.key"))
        .add(function_batch("together", together).on("app/batch").batch(3, seconds(30)).by("event.data.key"))
        .add(function("slow", note).on("app/slow").throttle(1, minutes(1)))
        .add(function("few", note).on("app/few").rate_limit(2, minutes(1)).by("event.data.key"))
        .add(function("last", note).on("app/last").debounce(seconds(10)).at_most(seconds(60)).by("event.data.key"))
        .add(function("alone", asleep).on("app/alone").singleton(SingletonMode::Cancel).by("event.data.key"))
}

/// A database, a clock, and the functions, whose lanes all who publish share.
struct House {
    store: Store,
    clock: Arc<ManualClock>,
    functions: Functions<App>,
    app: App,
    _database: TestDatabase,
}

impl House {
    async fn new(database: TestDatabase) -> Self {
        let (store, clock) = (opened(&database.url()).await, clock());
        let app = App { world: World::default(), gate: Arc::new(Semaphore::new(0)) };
        Self { store, clock, functions: functions(), app, _database: database }
    }

    fn engine(&self, runs_max: usize) -> Engine {
        let options = EngineOptions { runs_max, threads: 1, ..EngineOptions::new("a") };
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        Engine::start(options, self.functions.clone(), Arc::new(self.app.clone()), self.store.clone(), clock)
    }

    /// Publishes an event; returns the id of the run that it starts, if that is new.
    async fn send(&self, id: &str, name: &str, data: Value) -> Option<String> {
        let (names, now) = ([name.to_owned()], self.clock.now());
        let event = Event::new(id, name, data, now);
        let publication = publication(&self.functions, &event, Source::User, &names, now);
        let ids: Vec<String> = publication.runs.iter().map(|run| run.id.clone()).collect();
        let published = self.store.transact(Publish::one(publication, now)).await.unwrap().remove(0);
        ids.into_iter().zip(published.started).find_map(|(id, is_new)| is_new.then_some(id))
    }

    async fn run(&self, id: &str) -> FlowRun {
        self.store.flow_run(id).await.unwrap().unwrap()
    }

    async fn why(&self, id: &str) -> String {
        why(&self.run(id).await, &self.store.flow_steps(id).await.unwrap())
    }

    async fn until(&self, id: &str, what: &str, reached: impl Fn(&FlowRun) -> bool) -> FlowRun {
        let look = async || Some(self.run(id).await).filter(|run| reached(run));
        match wait::until_async(what, PATIENCE, look).await {
            Ok(run) => run,
            Err(error) => panic!("{error}: {:?}", self.run(id).await),
        }
    }

    async fn ended(&self, id: &str) -> FlowRun {
        self.until(id, "the end", |run| run.state == RunState::Succeeded).await
    }

    async fn seen(&self, things: usize) {
        let happened = async || (self.app.world.seen().len() >= things).then_some(());
        let waited = wait::until_async("steps", PATIENCE, happened).await;
        assert!(waited.is_ok(), "{:?}", self.app.world.seen());
    }
}

fn on_both<F: Future<Output = ()>>(test: &str, body: impl Fn(House) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for database in TestDatabase::both(test).unwrap() {
        runtime.block_on(async { body(House::new(database).await).await });
    }
}

/// Where in the order something happened last, counted from 1.
fn last(seen: &[String], what: &str) -> usize {
    seen.iter().rposition(|one| one == what).map_or(0, |position| position + 1)
}

#[test]
fn a_key_that_floods_does_not_delay_another() {
    const FLOOD: usize = 300;
    const ROOM: usize = 4;
    on_both("a_key_that_floods_does_not_delay_another", async |house| {
        for number in 0..FLOOD {
            house.send(&format!("a{number}"), "app/fair", json!({ "key": "A" })).await.expect("a new run");
        }
        for number in 0..5 {
            house.send(&format!("b{number}"), "app/fair", json!({ "key": "B" })).await.expect("a new run");
        }
        let engine = house.engine(ROOM);
        house.seen(FLOOD + 5).await;
        let seen = house.app.world.seen();
        assert!(last(&seen, "B") <= 2 * 5 + ROOM, "{seen:?}");
        // In the middle of the next flood as well, whatever the first one has left behind.
        for number in 0..FLOOD {
            house.send(&format!("c{number}"), "app/fair", json!({ "key": "C" })).await.expect("a new run");
        }
        house.seen(FLOOD + 5 + 20).await;
        house.send("d", "app/fair", json!({ "key": "D" })).await.expect("a new run");
        let before = house.app.world.seen().len();
        engine.wake();
        house.seen(2 * FLOOD + 6).await;
        let position = last(&house.app.world.seen(), "D");
        assert!(position <= before + 3 * ROOM, "{position} after {before}");
        engine.stop().await;
    });
}

#[test]
fn what_is_urgent_begins_before_what_came_earlier() {
    on_both("what_is_urgent_begins_before_what_came_earlier", async |house| {
        for number in 0..20 {
            house.send(&format!("e{number}"), "app/urgent", json!({ "key": "usual" })).await.expect("a new run");
        }
        house.clock.advance(minutes(10));
        house.send("e20", "app/urgent", json!({ "key": "gold", "plan": "gold" })).await.expect("a new run");
        let engine = house.engine(1);
        house.seen(21).await;
        assert_eq!(last(&house.app.world.seen(), "gold"), 1);
        engine.stop().await;
    });
}

#[test]
fn no_more_than_allowed_are_executed_and_all_of_them_in_the_end() {
    on_both("no_more_than_allowed_are_executed_and_all_of_them_in_the_end", async |house| {
        let mut runs = Vec::new();
        for (number, key) in ["x", "x", "x", "y", "z"].into_iter().enumerate() {
            runs.extend(house.send(&format!("e{number}"), "app/hold", json!({ "key": key })).await);
            // Runs of one moment are in no order.
            house.clock.advance(jiff::SignedDuration::from_millis(1));
        }
        let engine = house.engine(100);
        house.seen(2).await;
        let seen = house.app.world.seen();
        assert_eq!((seen.len(), seen.contains(&"begin x".to_owned())), (2, true), "{seen:?}");
        house.until(&runs[2], "being blocked", |run| run.blocked.is_some()).await;
        let told = house.why(&runs[2]).await;
        assert_eq!(told, "waits for a place: 1 of 1 runs of this function for the key x are under way (concurrency)");
        house.until(&runs[4], "being blocked", |run| run.blocked.is_some()).await;
        assert!(house.why(&runs[4]).await.contains("2 of 2 runs of this function are"));
        house.app.gate.add_permits(5);
        for run in &runs {
            house.ended(run).await;
        }
        let (mut open, mut most, mut open_x) = (0, 0, 0);
        for seen in house.app.world.seen() {
            let change = if seen.starts_with("begin") { 1 } else { -1 };
            open += change;
            open_x += if seen.ends_with(" x") { change } else { 0 };
            most = open.max(most);
            assert!(open_x <= 1 && open <= 2, "{:?}", house.app.world.seen());
        }
        assert_eq!(most, 2, "it is not less than allowed either");
        engine.stop().await;
    });
}

#[test]
fn a_batch_gets_its_events_in_the_order_in_which_they_came() {
    on_both("a_batch_gets_its_events_in_the_order_in_which_they_came", async |house| {
        let batch = house.send("e9", "app/batch", json!({ "key": "x" })).await.expect("a new run");
        let other = house.send("e5", "app/batch", json!({ "key": "y" })).await.expect("a new run");
        assert_eq!(house.send("e3", "app/batch", json!({ "key": "x" })).await, None);
        assert_eq!(
            house.why(&batch).await,
            "waits for more events until 2027-01-15T08:00:30Z: 2 of 3 are there (batch)"
        );
        let engine = house.engine(10);
        assert_eq!(house.send("e6", "app/batch", json!({ "key": "x" })).await, None);
        engine.wake();
        assert_eq!(house.ended(&batch).await.result.as_deref(), Some("[\"e9\",\"e3\",\"e6\"]"));
        house.clock.advance(seconds(30));
        engine.wake();
        assert_eq!(house.ended(&other).await.result.as_deref(), Some("[\"e5\"]"));
        engine.stop().await;
    });
}

#[test]
fn what_begins_later_or_not_at_all_says_so() {
    on_both("what_begins_later_or_not_at_all_says_so", async |house| {
        let data = |key: &str| json!({ "key": key });
        house.send("s1", "app/slow", data("")).await.expect("a new run");
        let slow = house.send("s2", "app/slow", data("")).await.expect("a new run");
        assert_eq!(house.why(&slow).await, "begins at 2027-01-15T08:01:00Z, since others began before it (throttle)");
        let debounced = house.send("l1", "app/last", data("x")).await.expect("a new run");
        assert_eq!(house.send("l2", "app/last", data("x")).await, None);
        assert!(house.why(&debounced).await.ends_with("unless another event comes before (debounce)"));
        let first = house.send("n1", "app/alone", data("x")).await.expect("a new run");
        let second = house.send("n2", "app/alone", data("x")).await.expect("a new run");
        assert!(house.why(&first).await.contains("n2 of the same key took its place"), "{}", house.why(&first).await);
        let mut started = Vec::new();
        for (id, key) in [("f1", "x"), ("f2", "x"), ("f3", "x"), ("f4", "y")] {
            started.push(house.send(id, "app/few", data(key)).await.is_some());
        }
        assert_eq!(started, [true, true, false, true]);
        assert_eq!(house.store.flow_refusals(10).await.unwrap()[0].0, "rate_limit/few/x");
        let engine = house.engine(10);
        house.until(&second, "a sleep", |run| run.state == RunState::Waiting).await;
        assert_eq!(house.why(&second).await, "sleeps until 2027-01-16T08:00:00Z (long)");
        engine.stop().await;
    });
}

#[test]
fn limits_that_would_never_work_are_told_at_once() {
    let told = |function: billhook_flow::Function<App>| {
        let defects = Functions::new().add(function.on("app/a")).check().err().unwrap_or_default();
        defects.iter().map(|defect| defect.what.clone()).collect::<Vec<_>>().join("; ")
    };
    assert_eq!(told(function("f", note).concurrency(3).by("event.data.customer || event.data.id")), "");
    for (function, part) in [
        (function("f", note).concurrency(0), "never start anything"),
        (function("f", note).concurrency(1).concurrency(2).concurrency(3), "at most 2"),
        (function("f", note).by("event.id"), "before any limit"),
        (function("f", note).throttle(1, seconds(1)).by("event."), "cannot be understood"),
        (function("f", note).throttle(1, seconds(0)), "more than nothing"),
        (function("f", note).batch(2, seconds(1)), "function_batch"),
        (function_batch("f", together), "give it one"),
        (function_batch("f", together).batch(2, seconds(1)).rate_limit(1, seconds(1)), "cannot be combined"),
        (function("f", note).debounce(seconds(1)).throttle(1, seconds(1)), "cannot be combined"),
        (function("f", note).concurrency(1).shared(), "needs a key"),
        (function("f", note).debounce(seconds(1)).shared(), "no .concurrency"),
        (function("f", note).at_most(seconds(1)), "no .debounce"),
    ] {
        let told = told(function);
        assert!(told.contains(part), "{part}: {told}");
    }
    let shared = |id, runs| function(id, note).on("app/a").concurrency(runs).by("event.data.key").shared();
    assert!(Functions::new().add(shared("f", 2)).add(shared("g", 2)).check().is_ok());
    assert!(Functions::new().add(shared("f", 2)).add(shared("g", 3)).check().is_err());
}
