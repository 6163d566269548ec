//! The engine on both stores: every run ends once, whatever becomes of the process that executes it.

use std::io::Error as IoError;
use std::sync::Arc;
use std::time::Duration;

use billhook_core::run::RunState;
use billhook_core::{Clock, ManualClock, Secret};
use billhook_flow::engine::{Engine, EngineOptions, Matcher, Publish, Source, publication, signal};
use billhook_flow::schedule::Missed;
use billhook_flow::{Backoff, Ctx, Event, Functions, Result, Terminal, days, function};
use billhook_store::{FlowRun, Location, Options, PostgresLocation, Role, Store};
use billhook_stripe::catalogue;
use billhook_testkit::{TestDatabase, wait};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use tokio::sync::Semaphore;

use crate::World;

/// Longest wait for something that must happen.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the functions of these tests have.
#[derive(Clone)]
struct App {
    world: World,
    /// Steps of `blocked` go on when there is a permit.
    gate: Arc<Semaphore>,
}

/// Three steps with a week between two of them.
async fn weekly(_event: Event, ctx: Ctx<App>) -> Result<u32> {
    let world = &ctx.app().world;
    let run = ctx.run();
    let one = ctx
        .step("one", || async {
            Ok::<_, IoError>({
                world.note(format!("one {run}"));
                1_u32
            })
        })
        .await?;
    ctx.sleep("week", days(7)).await;
    let (two, three) = ctx
        .join((
            ctx.step("two", || async {
                Ok::<_, IoError>({
                    world.note(format!("two {run}"));
                    2_u32
                })
            }),
            ctx.step("three", || async {
                Ok::<_, IoError>({
                    world.note(format!("three {run}"));
                    3_u32
                })
            }),
        ))
        .await?;
    Ok(one + two + three)
}

/// A step that is recorded, and one that waits for the gate.
async fn blocked(_event: Event, ctx: Ctx<App>) -> Result<String> {
    let App { world, gate } = ctx.app();
    ctx.step_with("first", |call| async move { Ok::<_, IoError>(world.call("first", &call)) }).await?;
    let second = ctx.step_with("second", |call| async move {
        world.call("second", &call);
        gate.acquire().await.map_err(IoError::other)?.forget();
        Ok::<_, IoError>("done".to_owned())
    });
    second.await
}

async fn refused(_event: Event, ctx: Ctx<App>) -> Result<()> {
    let world = &ctx.app().world;
    ctx.step("find", || async {
        world.note("find");
        Err::<(), _>(Terminal::new("no such\0 user"))
    })
    .await
}

async fn broken(_event: Event, ctx: Ctx<App>) -> Result<()> {
    let world = &ctx.app().world;
    ctx.step("once", || async { Ok::<_, IoError>(world.note("once")) }).await?;
    world.note("panic");
    panic!("a bug of the function");
}

/// Waits for two payments in turn, however they come.
async fn payments(event: Event, ctx: Ctx<App>) -> Result<Vec<String>> {
    let mut paid = Vec::new();
    ctx.step("begin", || async { Ok::<_, IoError>(ctx.app().world.note(format!("begin {}", event.id))) }).await?;
    for _ in 0..2 {
        let wait = ctx.wait_for_event::<serde_json::Value>("paid", "app/paid");
        let wait = wait.matching("async.data.invoice == event.data.invoice && async.data.amount > 0").timeout(days(3));
        paid.push(wait.await.map_or_else(|| "nothing".to_owned(), |event| event.id));
    }
    Ok(paid)
}

/// Reminds in three days, unless it is called off.
async fn reminder(_event: Event, ctx: Ctx<App>) -> Result<()> {
    let world = &ctx.app().world;
    world.note("noticed");
    ctx.sleep("days", days(3)).await;
    ctx.step("remind", || async { Ok::<_, IoError>(world.note("reminded")) }).await
}

/// Sends one event now and one for later.
async fn sender(event: Event, ctx: Ctx<App>) -> Result<(String, String)> {
    let now = ctx.send("now", "app/refused", &json!({})).await?;
    let at = event.ts + days(30);
    let later = ctx.send("later", "app/weekly", &event.data).at(at).replacing("one").await?;
    Ok((now, later))
}

/// Invokes a function that works and one that fails.
async fn parent(_event: Event, ctx: Ctx<App>) -> Result<String> {
    let six: u32 = ctx.invoke("weekly", "weekly", &json!({})).await?;
    let refused = ctx.invoke::<()>("refused", "refused", &json!({})).await;
    Ok(format!("{six}, {}", refused.expect_err("it fails").to_string().contains("no such")))
}

/// Is started by the clock or by a failure; notes what it is told.
async fn told_of(event: Event, ctx: Ctx<App>) -> Result<()> {
    let world = &ctx.app().world;
    let data = &event.data;
    let what = if event.name == "billhook/cron" { &data["scheduled_at"] } else { &data["function"] };
    ctx.step("note", || async { Ok::<_, IoError>(world.note(format!("told {}", what.as_str().unwrap_or_default()))) })
        .await
}

async fn failing_handler(_event: Event, ctx: Ctx<App>) -> Result<()> {
    ctx.app().world.note("handler");
    Err(Terminal::new("the handler fails as well").into())
}

/// Waits for somebody's word.
async fn approval(event: Event, ctx: Ctx<App>) -> Result<Option<String>> {
    let signal = format!("approve \"{}\"", event.id);
    Ok(ctx.wait_for_signal("word", signal).timeout(days(2)).await)
}

fn functions() -> Functions<App> {
    Functions::new()
        .add(function("approval", approval).on("app/approval"))
        .add(function("parent", parent).on("app/parent"))
        .add(function("hourly", told_of).cron("0 * * * *"))
        .add(function("half-hourly", told_of).cron("TZ=Europe/Paris 30 * * * *").missed(Missed::All))
        .add(function("hasty", weekly).on("app/hasty").finish_within(days(1)))
        .add(function("late", weekly).on("app/late").start_within(days(1)))
        .add(function("failing", refused).on("app/failing").on_failure(function("failing-handler", failing_handler)))
        .add(function("other-failing", refused).on("app/failing").on_failure(function("handler", told_of)))
        .add(function("payments", payments).on("app/invoice").if_("event.data.amount >= 100"))
        .add(
            function("reminder", reminder)
                .on("app/failed")
                .idempotency("event.data.invoice")
                .cancel_on("app/paid", "async.data.invoice == event.data.invoice"),
        )
        .add(function("sender", sender).on("app/send"))
        .add(function("weekly", weekly).on("app/weekly"))
        .add(function("blocked", blocked).on("app/blocked"))
        .add(function("refused", refused).on("app/refused"))
        .add(
            function("broken", broken)
                .on("app/broken")
                .retries(1)
                .backoff(Backoff::Fixed(SignedDuration::from_secs(2))),
        )
}

/// A database, a clock, and the engines that work on it.
struct House {
    store: Store,
    clock: Arc<ManualClock>,
    app: App,
    _database: TestDatabase,
}

impl House {
    async fn new(database: TestDatabase) -> Self {
        let url = database.url();
        let location = match url.strip_prefix("sqlite:") {
            Some(path) => Location::Sqlite { path: path.into() },
            None => Location::Postgres(PostgresLocation {
                url: Secret::new(url),
                tls_ca: None,
                connections_max: 8,
                mirror_schema: "stripe".into(),
                statement_timeout_ms: 10_000,
            }),
        };
        let (tables, catalogue_revision) = (catalogue::tables(), catalogue::revision());
        let store = Store::open(Options { location, tables, catalogue_revision, role: Role::Server }).await.unwrap();
        store.migrate().await.unwrap();
        let clock = Arc::new(ManualClock::new(Timestamp::from_second(1_800_000_000).unwrap()));
        let app = App { world: World::default(), gate: Arc::new(Semaphore::new(0)) };
        Self { store, clock, app, _database: database }
    }

    fn engine(&self, holder: &str) -> Engine {
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let app = Arc::new(self.app.clone());
        Engine::start(EngineOptions::new(holder), functions(), app, self.store.clone(), clock)
    }

    /// Routes an event; returns the id of the run it starts, if that is new.
    async fn send(&self, id: &str, name: &str) -> Option<String> {
        let now = self.clock.now();
        let event = Event::new(id, name, json!({ "of": id }), now);
        self.publish(event).await
    }

    /// Publishes an event; returns the id of the run that it starts, if that is new.
    async fn publish(&self, event: Event) -> Option<String> {
        let (names, now) = ([event.name.clone()], self.clock.now());
        let publication = publication(&functions(), &event, Source::User, &names, now);
        let ids: Vec<String> = publication.runs.iter().map(|run| run.id.clone()).collect();
        let published = self.store.transact(Publish::one(publication, now)).await.unwrap().remove(0);
        ids.into_iter().zip(published.started).find_map(|(id, is_new)| is_new.then_some(id))
    }

    async fn run(&self, id: &str) -> FlowRun {
        self.store.flow_run(id).await.unwrap().unwrap()
    }

    /// Waits until a run is in a state.
    async fn until(&self, id: &str, state: RunState) -> FlowRun {
        let reached = async || Some(self.run(id).await).filter(|run| run.state == state);
        match wait::until_async(state.name(), PATIENCE, reached).await {
            Ok(run) => run,
            Err(error) => panic!("{error}: {:?}", self.run(id).await),
        }
    }

    /// Waits until something has happened so often.
    async fn seen(&self, what: &str, times: usize) {
        let happened = async || (self.app.world.count(what) >= times).then_some(());
        let waited = wait::until_async(what, PATIENCE, happened).await;
        assert!(waited.is_ok(), "{what} did not happen {times} times: {:?}", self.app.world.seen());
    }
}

fn on_both<F: Future<Output = ()>>(test: &str, body: impl Fn(House) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for database in TestDatabase::both(test).unwrap() {
        runtime.block_on(async { body(House::new(database).await).await });
    }
}

#[test]
fn a_run_ends_behind_its_sleep() {
    on_both("a_run_ends_behind_its_sleep", async |house| {
        let engine = house.engine("a");
        let run = house.send("evt_1", "app/weekly").await.expect("a new run");
        assert_eq!(house.send("evt_1", "app/weekly").await, None, "an event starts a function once");
        engine.wake();
        let waiting = house.until(&run, RunState::Waiting).await;
        assert_eq!(waiting.due_at, house.clock.now().checked_add(days(7)).ok());
        house.clock.advance(days(7) - SignedDuration::from_millis(1));
        engine.wake();
        house.clock.advance(SignedDuration::from_millis(1));
        engine.wake();
        let ended = house.until(&run, RunState::Succeeded).await;
        assert_eq!((ended.result.as_deref(), ended.ended_at), (Some("6"), Some(house.clock.now())));
        assert_eq!(house.app.world.seen().len(), 3);
        engine.stop().await;
    });
}

#[test]
fn a_final_error_ends_a_run_with_its_message() {
    on_both("a_final_error_ends_a_run_with_its_message", async |house| {
        let engine = house.engine("a");
        let run = house.send("evt_1", "app/refused").await.expect("a new run");
        engine.wake();
        let failed = house.until(&run, RunState::Failed).await;
        assert_eq!(failed.message.as_deref(), Some("no such\u{fffd} user"));
        assert_eq!(house.app.world.count("find"), 1);
        engine.stop().await;
    });
}

#[test]
fn a_function_that_panics_fails_its_run_and_no_other() {
    on_both("a_function_that_panics_fails_its_run_and_no_other", async |house| {
        let engine = house.engine("a");
        let broken = house.send("evt_1", "app/broken").await.expect("a new run");
        let other = house.send("evt_2", "app/weekly").await.expect("a new run");
        engine.wake();
        house.until(&broken, RunState::Waiting).await;
        house.until(&other, RunState::Waiting).await;
        house.clock.advance(SignedDuration::from_secs(2));
        engine.wake();
        let failed = house.until(&broken, RunState::Failed).await;
        assert_eq!(failed.message.as_deref(), Some("the function panicked: a bug of the function"));
        assert_eq!((house.app.world.count("once"), house.app.world.count("panic")), (1, 2));
        engine.stop().await;
    });
}

#[test]
fn what_a_dead_process_held_is_finished_by_another_one() {
    on_both("what_a_dead_process_held_is_finished_by_another_one", async |house| {
        let dying = house.engine("a");
        let run = house.send("evt_1", "app/blocked").await.expect("a new run");
        dying.wake();
        house.seen("second", 1).await;
        dying.abandon();
        let heir = house.engine("b");
        heir.wake();
        assert_eq!(house.run(&run).await.state, RunState::Running, "its lease has not ended");
        house.clock.advance(SignedDuration::from_secs(10));
        heir.wake();
        house.seen("second", 2).await;
        house.app.gate.add_permits(1);
        assert_eq!(house.until(&run, RunState::Succeeded).await.result.as_deref(), Some("\"done\""));
        assert_eq!(house.app.world.count("first"), 1, "what is recorded is not repeated");
        let mut calls: Vec<String> =
            house.app.world.seen().into_iter().filter(|seen| seen.starts_with("second ")).collect();
        calls.dedup();
        assert_eq!(calls.len(), 1, "both attempts carry one key: {calls:?}");
        heir.stop().await;
    });
}

#[test]
fn a_zombie_cannot_write_to_a_run_it_lost() {
    on_both("a_zombie_cannot_write_to_a_run_it_lost", async |house| {
        // A lease that ends without its holder noticing: it is stopped in the middle of a step, and continued too late.
        let options = EngineOptions { lease: SignedDuration::from_secs(10), ..EngineOptions::new("zombie") };
        let clock = Arc::new(ManualClock::new(house.clock.now()));
        let app = Arc::new(house.app.clone());
        let zombie = Engine::start(options, functions(), app, house.store.clone(), clock);
        let run = house.send("evt_1", "app/blocked").await.expect("a new run");
        zombie.wake();
        house.seen("second", 1).await;
        house.clock.advance(SignedDuration::from_secs(11));
        let heir = house.engine("heir");
        house.seen("second", 2).await;
        // Both go on; only one of them may end the run.
        house.app.gate.add_permits(2);
        let ended = house.until(&run, RunState::Succeeded).await;
        zombie.stop().await;
        heir.stop().await;
        assert_eq!(house.run(&run).await, ended);
        assert_eq!(house.store.flow_steps(&run).await.unwrap().len(), 2);
    });
}

#[test]
fn many_runs_end_once_each_over_several_engines() {
    const RUNS: usize = 300;
    on_both("many_runs_end_once_each_over_several_engines", async |house| {
        let mut runs = Vec::new();
        for number in 0..RUNS {
            runs.extend(house.send(&format!("evt_{number}"), "app/weekly").await);
        }
        assert_eq!(runs.len(), RUNS);
        let engines = [house.engine("a"), house.engine("b")];
        for run in &runs {
            house.until(run, RunState::Waiting).await;
        }
        house.clock.advance(days(7));
        engines.iter().for_each(Engine::wake);
        for run in &runs {
            assert_eq!(house.until(run, RunState::Succeeded).await.result.as_deref(), Some("6"));
        }
        let mut seen = house.app.world.seen();
        // The clock moved past schedules as well.
        seen.retain(|seen| !seen.starts_with("told "));
        seen.sort();
        let all = seen.len();
        seen.dedup();
        assert_eq!((all, seen.len()), (3 * RUNS, 3 * RUNS), "every step of every run, once");
        for engine in engines {
            engine.stop().await;
        }
    });
}

/// An event of the house's time.
fn told(house: &House, id: &str, name: &str, data: serde_json::Value) -> Event {
    Event::new(id, name, data, house.clock.now())
}

fn invoice(id: &str, amount: i64) -> serde_json::Value {
    json!({ "invoice": id, "amount": amount })
}

#[test]
fn a_wait_ends_with_the_event_that_matches_and_each_event_counts_once() {
    on_both("a_wait_ends_with_the_event_that_matches_and_each_event_counts_once", async |house| {
        let engine = house.engine("a");
        assert_eq!(
            house.publish(told(&house, "e0", "app/invoice", invoice("in_1", 99))).await,
            None,
            "its condition is false"
        );
        let run = house.publish(told(&house, "e1", "app/invoice", invoice("in_1", 100))).await.expect("a new run");
        // This one comes before the run can wait for it.
        house.publish(told(&house, "early", "app/paid", invoice("in_1", 1))).await;
        engine.wake();
        let waits = async || {
            let steps = house.store.flow_steps(&run).await.unwrap();
            steps.iter().any(|(key, memo)| key.to_string() == "paid" && memo.contains("early")).then_some(())
        };
        wait::until_async("the early event", PATIENCE, waits).await.unwrap();
        house.until(&run, RunState::Waiting).await;
        for (id, data) in [("other", invoice("in_2", 5)), ("nothing", invoice("in_1", 0)), ("late", invoice("in_1", 7))]
        {
            house.publish(told(&house, id, "app/paid", data)).await;
        }
        engine.wake();
        let ended = house.until(&run, RunState::Succeeded).await;
        assert_eq!(ended.result.as_deref(), Some(r#"["early","late"]"#));
        assert_eq!(house.app.world.count("begin e1"), 1);
        engine.stop().await;
    });
}

#[test]
fn a_wait_finds_an_earlier_event_behind_any_number_of_others() {
    const OTHERS: usize = 1_100;
    on_both("a_wait_finds_an_earlier_event_behind_any_number_of_others", async |house| {
        let run = house.publish(told(&house, "e1", "app/invoice", invoice("in_1", 100))).await.expect("a new run");
        let now = house.clock.now();
        let others = (0..OTHERS).map(|number| told(&house, &format!("a{number}"), "app/paid", invoice("in_2", 1)));
        let events = others.chain([told(&house, "z", "app/paid", invoice("in_1", 1))]);
        let publications =
            events.map(|event| publication(&functions(), &event, Source::User, std::slice::from_ref(&event.name), now));
        let publications = publications.collect();
        house.store.transact(Publish { publications, matcher: Arc::new(Matcher), now }).await.unwrap();
        let engine = house.engine("a");
        let waits = async || {
            let steps = house.store.flow_steps(&run).await.unwrap();
            steps.iter().any(|(key, memo)| key.to_string() == "paid" && memo.contains("came")).then_some(())
        };
        wait::until_async("the early event", PATIENCE, waits).await.unwrap();
        engine.stop().await;
    });
}

#[test]
fn a_wait_ends_by_its_time() {
    on_both("a_wait_ends_by_its_time", async |house| {
        let engine = house.engine("a");
        let run = house.publish(told(&house, "e1", "app/invoice", invoice("in_1", 100))).await.expect("a new run");
        engine.wake();
        let waiting = house.until(&run, RunState::Waiting).await;
        assert_eq!(waiting.due_at, house.clock.now().checked_add(days(3)).ok());
        house.clock.advance(days(3));
        engine.wake();
        let second = async || (house.store.flow_steps(&run).await.unwrap().len() == 3).then_some(());
        wait::until_async("the second wait", PATIENCE, second).await.unwrap();
        house.until(&run, RunState::Waiting).await;
        house.clock.advance(days(3));
        engine.wake();
        assert_eq!(house.until(&run, RunState::Succeeded).await.result.as_deref(), Some(r#"["nothing","nothing"]"#));
        engine.stop().await;
    });
}

#[test]
fn a_run_is_called_off_by_what_comes_later_and_by_what_came_too_early() {
    on_both("a_run_is_called_off_by_what_comes_later_and_by_what_came_too_early", async |house| {
        let engine = house.engine("a");
        let failed = |id: &str, of: &str| told(&house, id, "app/failed", invoice(of, 1));
        let run = house.publish(failed("f1", "in_1")).await.expect("a new run");
        let other = house.publish(failed("f2", "in_2")).await.expect("a new run");
        assert_eq!(house.publish(failed("f3", "in_1")).await, None, "one chain for an invoice");
        engine.wake();
        house.until(&run, RunState::Waiting).await;
        house.until(&other, RunState::Waiting).await;
        house.clock.advance(SignedDuration::from_hours(1));
        house.publish(told(&house, "p1", "app/paid", invoice("in_1", 1))).await;
        assert_eq!(house.run(&run).await.state, RunState::Cancelled);
        assert_eq!(house.run(&run).await.message.as_deref(), Some("called off by app/paid (p1)"));

        // Paid after it failed, and told before it.
        let happened = house.clock.now();
        house.clock.advance(SignedDuration::from_hours(1));
        house.publish(told(&house, "p3", "app/paid", invoice("in_3", 1))).await;
        house.publish(told(&house, "p4", "app/paid", invoice("in_4", 1))).await;
        let early =
            house.publish(Event::new("f5", "app/failed", invoice("in_3", 1), happened)).await.expect("a new run");
        engine.wake();
        house.until(&early, RunState::Cancelled).await;
        // Paid, and then it failed anew: that is no reason.
        house.clock.advance(SignedDuration::from_hours(1));
        let again = house.publish(failed("f6", "in_4")).await.expect("a new run");
        engine.wake();
        house.until(&again, RunState::Waiting).await;
        house.clock.advance(days(3));
        engine.wake();
        for run in [&other, &again] {
            house.until(run, RunState::Succeeded).await;
        }
        assert_eq!(house.app.world.count("reminded"), 2);
        engine.stop().await;
    });
}

#[test]
fn a_run_sends_each_event_once_and_in_its_time() {
    on_both("a_run_sends_each_event_once_and_in_its_time", async |house| {
        let engine = house.engine("a");
        let run = house.send("evt_1", "app/send").await.expect("a new run");
        engine.wake();
        let sent = house.until(&run, RunState::Succeeded).await;
        house.seen("find", 1).await;
        let ids: (String, String) = serde_json::from_str(&sent.result.expect("a result")).unwrap();
        assert_ne!(ids.0, ids.1);
        let (due, next) = house.store.due_flow_events(house.clock.now(), 10).await.unwrap();
        assert_eq!((due.len(), next), (0, house.clock.now().checked_add(days(30)).ok()));
        // Another run replaces what is scheduled under the same key.
        house.clock.advance(days(1));
        let second = house.send("evt_2", "app/send").await.expect("a new run");
        engine.wake();
        house.until(&second, RunState::Succeeded).await;
        house.clock.advance(days(29) + SignedDuration::from_hours(1));
        let (due, next) = house.store.due_flow_events(house.clock.now(), 10).await.unwrap();
        assert_eq!((due.len(), next.is_some()), (0, true));
        house.clock.advance(days(1));
        house.seen("one", 1).await;
        assert_eq!(house.store.due_flow_events(house.clock.now(), 10).await.unwrap().0.len(), 0);
        engine.stop().await;
        assert_eq!(house.app.world.seen().iter().filter(|seen| seen.starts_with("one ")).count(), 1);
    });
}

#[test]
fn a_run_that_kills_its_workers_is_set_aside() {
    on_both("a_run_that_kills_its_workers_is_set_aside", async |house| {
        let run = house.send("evt_1", "app/blocked").await.expect("a new run");
        for death in 1..=5 {
            let dying = house.engine("dying");
            house.seen("second", death).await;
            dying.abandon();
            house.clock.advance(SignedDuration::from_secs(10));
        }
        let engine = house.engine("heir");
        let parked = house.until(&run, RunState::Parked).await;
        assert!(parked.message.as_deref().is_some_and(|why| why.starts_with("5 workers died")), "{parked:?}");
        assert_eq!(house.app.world.count("second"), 5);
        engine.stop().await;
    });
}

#[test]
fn an_engine_that_stops_gives_back_what_it_has() {
    on_both("an_engine_that_stops_gives_back_what_it_has", async |house| {
        let run = house.send("evt_1", "app/blocked").await.expect("a new run");
        for times in 1..=5 {
            let engine = house.engine("a");
            house.seen("second", times).await;
            engine.stop().await;
            assert_eq!(house.run(&run).await.state, RunState::Queued, "nobody has to wait for the end of the lease");
        }
        house.app.gate.add_permits(1);
        let engine = house.engine("b");
        house.until(&run, RunState::Succeeded).await;
        engine.stop().await;
    });
}

#[test]
fn a_function_invokes_others_and_hears_how_they_end() {
    on_both("a_function_invokes_others_and_hears_how_they_end", async |house| {
        let engine = house.engine("a");
        let run = house.send("evt_1", "app/parent").await.expect("a new run");
        engine.wake();
        house.seen("one", 1).await;
        house.until(&run, RunState::Waiting).await;
        // What is executed is due when its lease ends, so it is not enough that nothing is due now.
        let end = house.clock.now().checked_add(days(7)).unwrap();
        let asleep = async || (house.store.next_flow_due().await.unwrap()? == end).then_some(());
        wait::until_async("all to sleep", PATIENCE, asleep).await.unwrap();
        house.clock.advance(days(7));
        engine.wake();
        assert_eq!(house.until(&run, RunState::Succeeded).await.result.as_deref(), Some("\"6, true\""));
        assert_eq!((house.app.world.count("one"), house.app.world.count("find")), (1, 1));
        engine.stop().await;
    });
}

#[test]
fn a_failure_starts_its_handler_and_a_failing_handler_starts_none() {
    on_both("a_failure_starts_its_handler_and_a_failing_handler_starts_none", async |house| {
        let engine = house.engine("a");
        house.send("evt_1", "app/failing").await.expect("a new run");
        engine.wake();
        house.seen("told other-failing", 1).await;
        house.seen("handler", 1).await;
        let quiet = async || house.store.next_flow_due().await.unwrap().is_none().then_some(());
        wait::until_async("all to end", PATIENCE, quiet).await.unwrap();
        assert_eq!((house.app.world.count("told"), house.app.world.count("handler")), (1, 1));
        engine.stop().await;
    });
}

#[test]
fn functions_start_by_the_clock_also_for_times_that_nobody_was_there_for() {
    on_both("functions_start_by_the_clock_also_for_times_that_nobody_was_there_for", async |house| {
        // 2027-01-15T08:00:00Z.
        let engine = house.engine("a");
        let known = async || {
            let last =
                house.store.register_flow_cron("half-hourly", "TZ=Europe/Paris 30 * * * *", house.clock.now()).await;
            (last.unwrap() <= house.clock.now()).then_some(())
        };
        wait::until_async("schedules are known", PATIENCE, known).await.unwrap();
        house.store.register_flow_cron("hourly", "0 * * * *", house.clock.now()).await.unwrap();
        house.clock.advance(SignedDuration::from_mins(31));
        house.seen("told 2027-01-15T08:30:00Z", 1).await;
        engine.stop().await;
        house.clock.advance(SignedDuration::from_hours(3));
        let engines = [house.engine("b"), house.engine("c")];
        for told in [
            "told 2027-01-15T11:00:00Z",
            "told 2027-01-15T09:30:00Z",
            "told 2027-01-15T10:30:00Z",
            "told 2027-01-15T11:30:00Z",
        ] {
            house.seen(told, 1).await;
        }
        for engine in engines {
            engine.stop().await;
        }
        assert_eq!(house.app.world.count("told"), 5, "{:?}", house.app.world.seen());
    });
}

#[test]
fn runs_expire_when_their_time_is_over() {
    on_both("runs_expire_when_their_time_is_over", async |house| {
        let late = house.send("evt_1", "app/late").await.expect("a new run");
        house.clock.advance(days(1));
        let engine = house.engine("a");
        let hasty = house.send("evt_2", "app/hasty").await.expect("a new run");
        engine.wake();
        let expired = async || {
            let run = house.run(&late).await;
            (run.state.is_over() || run.started_at.is_some()).then_some(run)
        };
        wait::until_async("the late one", PATIENCE, expired).await.unwrap();
        house.until(&hasty, RunState::Waiting).await;
        house.clock.advance(days(1));
        let expired = house.until(&hasty, RunState::Expired).await;
        assert_eq!(expired.message.as_deref(), Some("it did not end in time"));
        engine.stop().await;
    });
}

#[test]
fn what_is_parked_for_long_fails_and_what_is_old_goes() {
    on_both("what_is_parked_for_long_fails_and_what_is_old_goes", async |house| {
        let run = house.send("evt_1", "app/blocked").await.expect("a new run");
        for death in 1..=5 {
            let dying = house.engine("dying");
            house.seen("second", death).await;
            dying.abandon();
            house.clock.advance(SignedDuration::from_secs(10));
        }
        let engine = house.engine("heir");
        house.until(&run, RunState::Parked).await;
        house.clock.advance(days(30));
        let failed = house.until(&run, RunState::Failed).await;
        assert!(failed.message.as_deref().is_some_and(|why| why.starts_with("parked: 5 workers")), "{failed:?}");
        engine.stop().await;
        house.clock.advance(days(90) + SignedDuration::from_secs(1));
        let engine = house.engine("later");
        let gone = async || house.store.flow_run(&run).await.unwrap().is_none().then_some(());
        wait::until_async("the old run to go", PATIENCE, gone).await.unwrap();
        engine.stop().await;
    });
}

#[test]
fn a_paused_function_executes_nothing_until_it_is_resumed() {
    on_both("a_paused_function_executes_nothing_until_it_is_resumed", async |house| {
        house.store.pause_function("refused", "a wrong deploy", house.clock.now()).await.unwrap();
        let paused = house.send("evt_1", "app/refused").await.expect("a new run");
        let engine = house.engine("a");
        let other = house.send("evt_2", "app/weekly").await.expect("a new run");
        house.until(&other, RunState::Waiting).await;
        assert_eq!(house.run(&paused).await.state, RunState::Queued);
        assert!(house.store.resume_function("refused").await.unwrap());
        house.until(&paused, RunState::Failed).await;
        engine.stop().await;
    });
}

#[test]
fn a_signal_reaches_exactly_the_run_that_waits_for_it() {
    on_both("a_signal_reaches_exactly_the_run_that_waits_for_it", async |house| {
        let engine = house.engine("a");
        let one = house.send("one", "app/approval").await.expect("a new run");
        let two = house.send("two", "app/approval").await.expect("a new run");
        engine.wake();
        let tell = async |name: &str| {
            let publication = signal(name, json!("yes"), house.clock.now());
            house.store.transact(Publish::one(publication, house.clock.now())).await.unwrap().remove(0).woken
        };
        assert_eq!(tell("approve \"three\"").await, [""; 0], "nobody waits for it, and it is not kept");
        house.until(&one, RunState::Waiting).await;
        house.until(&two, RunState::Waiting).await;
        assert_eq!(tell("approve \"two\"").await, std::slice::from_ref(&two));
        engine.wake();
        assert_eq!(house.until(&two, RunState::Succeeded).await.result.as_deref(), Some("\"yes\""));
        house.clock.advance(days(2));
        engine.wake();
        assert_eq!(house.until(&one, RunState::Succeeded).await.result.as_deref(), Some("null"));
        engine.stop().await;
    });
}
