//! The engine on both stores: every run ends once, whatever becomes of the process that executes it.

use std::io::Error as IoError;
use std::sync::Arc;
use std::time::Duration;

use billhook_core::run::RunState;
use billhook_core::{Clock, ManualClock, Secret};
use billhook_flow::engine::{Engine, EngineOptions, Route};
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

fn functions() -> Functions<App> {
    Functions::new()
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
        let route = Route::of(&functions(), &event, &[name.to_owned()], now);
        let ids = route.ids();
        let started = self.store.transact(route).await.unwrap();
        ids.into_iter().zip(started).find_map(|(id, is_new)| is_new.then_some(id))
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
        seen.sort();
        let all = seen.len();
        seen.dedup();
        assert_eq!((all, seen.len()), (3 * RUNS, 3 * RUNS), "every step of every run, once");
        for engine in engines {
            engine.stop().await;
        }
    });
}
