//! What a person does about runs, with an engine at work on both stores.

use std::future::Future;
use std::io::Error as IoError;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use billhook_core::run::RunState;
use billhook_core::{Clock, ManualClock};
use billhook_flow::engine::{Engine, EngineOptions, Publish, Source, publication};
use billhook_flow::{Ctx, Event, Functions, Memo, Result, StepError, Terminal, function};
use billhook_store::{FlowRun, Store, Verdict};
use billhook_testkit::TestDatabase;
use jiff::Timestamp;
use serde_json::json;
use tokio::sync::Semaphore;

use crate::World;
use crate::database::{clock, opened, until};

/// An attempt that never ends is given up after this time.
const HANGING: Duration = Duration::from_millis(5);

#[derive(Clone)]
struct App {
    world: World,
    /// Whether what steps need has been repaired.
    repaired: Arc<AtomicBool>,
    /// Steps of `slow` go on when there is a permit.
    gate: Arc<Semaphore>,
}

impl App {
    fn is_repaired(&self) -> bool {
        self.repaired.load(Ordering::SeqCst)
    }
}

/// Its second step fails for good until things are repaired.
async fn fragile(_event: Event, ctx: Ctx<App>) -> Result<u32> {
    let app = ctx.app();
    ctx.step("one", || async { Ok::<_, IoError>(app.world.note("one")) }).await?;
    let second = ctx.step("two", || async {
        app.world.note("two");
        if app.is_repaired() { Ok(2_u32) } else { Err(Terminal::new("no such user")) }
    });
    second.await
}

/// Its step must not run twice, and hangs until things are repaired.
async fn once(_event: Event, ctx: Ctx<App>) -> Result<u32> {
    let app = ctx.app();
    let step = ctx.step("once", || async {
        app.world.note("once");
        if !app.is_repaired() {
            std::future::pending::<()>().await;
        }
        Ok::<_, IoError>(1_u32)
    });
    step.at_most_once().timeout(HANGING).await
}

/// Its first step takes as long as the test wants.
async fn slow(_event: Event, ctx: Ctx<App>) -> Result<()> {
    let app = ctx.app();
    let first = ctx.step("first", || async {
        app.world.note("first");
        app.gate.acquire().await.map_err(IoError::other)?.forget();
        app.world.note("ended");
        Ok::<_, IoError>(())
    });
    first.await?;
    app.world.note("behind the first");
    Ok(())
}

fn functions() -> Functions<App> {
    Functions::new()
        .add(function("fragile", fragile).on("app/fragile"))
        .add(function("once", once).on("app/once"))
        .add(function("slow", slow).on("app/slow"))
}

struct House {
    store: Store,
    clock: Arc<ManualClock>,
    app: App,
    engine: Engine,
    _database: TestDatabase,
}

impl House {
    async fn new(database: TestDatabase) -> Self {
        let store = opened(&database.url()).await;
        let clock = clock();
        let app = App { world: World::default(), repaired: Arc::default(), gate: Arc::new(Semaphore::new(0)) };
        let (time, shared) = (Arc::clone(&clock) as Arc<dyn Clock>, Arc::new(app.clone()));
        let engine = Engine::start(EngineOptions::new("a"), functions(), shared, store.clone(), time);
        Self { store, clock, app, engine, _database: database }
    }

    async fn send(&self, name: &str) -> String {
        let now = self.clock.now();
        let event = Event::new("evt_1", name, json!({}), now);
        let publication = publication(&functions(), &event, Source::User, &[name.to_owned()], now);
        let id = publication.runs[0].id.clone();
        self.store.transact(Publish::one(publication, now)).await.unwrap();
        self.engine.wake();
        id
    }

    async fn until(&self, id: &str, state: RunState) -> FlowRun {
        until(&self.store, id, state).await
    }

    async fn seen(&self, what: &str) {
        self.app.world.until(what, 1).await;
    }

    async fn retry(&self, id: &str) {
        self.app.repaired.store(true, Ordering::SeqCst);
        assert_eq!(self.store.retry_flow_run(id, self.clock.now()).await.unwrap(), Verdict::Done);
        self.engine.wake();
    }
}

fn on_both<F: Future<Output = ()>>(test: &str, body: impl Fn(House) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for database in TestDatabase::both(test).unwrap() {
        runtime.block_on(async { body(House::new(database).await).await });
    }
}

#[test]
fn a_failed_run_goes_on_from_the_step_that_failed() {
    on_both("a_failed_run_goes_on_from_the_step_that_failed", async |house| {
        let run = house.send("app/fragile").await;
        assert_eq!(house.until(&run, RunState::Failed).await.message.as_deref(), Some("no such user"));
        house.retry(&run).await;
        let ended = house.until(&run, RunState::Succeeded).await;
        assert_eq!((ended.result.as_deref(), ended.message), (Some("2"), None));
        assert_eq!(house.app.world.seen(), ["one", "two", "two"]);
        house.engine.stop().await;
    });
}

#[test]
fn a_step_that_must_not_run_twice_does_so_when_a_person_decides() {
    on_both("a_step_that_must_not_run_twice_does_so_when_a_person_decides", async |house| {
        let run = house.send("app/once").await;
        house.until(&run, RunState::Parked).await;
        house.retry(&run).await;
        assert_eq!(house.until(&run, RunState::Succeeded).await.result.as_deref(), Some("1"));
        assert_eq!(house.app.world.seen(), ["once", "once"]);
        house.engine.stop().await;
    });
}

#[test]
fn a_run_that_is_called_off_in_a_step_records_nothing_more() {
    on_both("a_run_that_is_called_off_in_a_step_records_nothing_more", async |house| {
        let run = house.send("app/slow").await;
        house.seen("first").await;
        assert_eq!(house.store.cancel_flow_run(&run, "enough", house.clock.now()).await.unwrap(), Verdict::Done);
        house.app.gate.add_permits(1);
        house.seen("ended").await;
        let House { store, app, engine, _database, .. } = house;
        // It waits for what is being executed.
        engine.stop().await;
        let cancelled = store.flow_run(&run).await.unwrap().unwrap();
        assert_eq!((cancelled.state, cancelled.message.as_deref()), (RunState::Cancelled, Some("enough")));
        assert_eq!(store.flow_run_steps(&run).await.unwrap(), []);
        assert_eq!(app.world.count("behind the first"), 0);
    });
}

/// The store finds what did not succeed by how it begins.
#[test]
fn memos_begin_with_what_they_are() {
    let error = StepError { message: "x".to_owned() };
    let retry = Memo::Retry { attempts: 1, at: Timestamp::UNIX_EPOCH, error: error.clone() };
    for (memo, beginning) in
        [(Memo::Failed(error), r#"{"failed":"#), (retry, r#"{"retry":"#), (Memo::Begun, r#""begun""#)]
    {
        let text = serde_json::to_string(&memo).unwrap();
        assert!(text.starts_with(beginning), "{text}");
    }
}
