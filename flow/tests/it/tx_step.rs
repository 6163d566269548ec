//! Steps whose SQL and record are one commit: their rows are there exactly once, whatever becomes of the process and the connection.

use std::net::ToSocketAddrs as _;
use std::sync::Arc;
use std::time::Duration;

use billhook_core::run::RunState;
use billhook_core::{Clock, ManualClock};
use billhook_flow::engine::{Engine, EngineOptions, Publish, Source, publication};
use billhook_flow::testing::Trial;
use billhook_flow::{Backoff, Ctx, Error, Event, Functions, Result, SqlError, Terminal, function};
use billhook_store::{FlowRun, Store};
use billhook_testkit::proxy::{Fault, Proxy};
use billhook_testkit::{TestDatabase, sql};
use jiff::SignedDuration;
use serde_json::json;
use tokio::sync::Semaphore;

use crate::World;
use crate::database::{clock, opened, until};

/// The pause between attempts.
const PAUSE: SignedDuration = SignedDuration::from_secs(5);

const INSERT: &str = "INSERT INTO app_charges (id, note) VALUES ($1, $2)";

#[derive(Clone)]
struct App {
    world: World,
    /// Bodies and steps that wait go on when there is a permit.
    gate: Arc<Semaphore>,
    /// Stands between the engine and its database, where there is one.
    proxy: Option<Arc<Proxy>>,
}

impl App {
    async fn pass(&self) -> Result<(), SqlError> {
        self.gate.acquire().await.map_err(|_closed| SqlError::Over)?.forget();
        Ok(())
    }
}

/// A transaction, and a step behind it. The event says where it waits for the gate.
async fn charge(event: Event, ctx: Ctx<App>) -> Result<i64> {
    let (app, run, waits) = (ctx.app(), ctx.run(), event.data["waits"] == "inside");
    let count = ctx
        .tx_step("charge", |tx| async move {
            app.world.note("body");
            tx.execute(INSERT, &[run.into(), "it's \"one\"; --".into()]).await?;
            let rows = tx.query("SELECT count(*) AS count FROM app_charges WHERE id = $1", &[run.into()]).await?;
            if waits {
                app.world.note("inside");
                app.pass().await?;
            }
            Ok::<_, Error>(rows[0].get::<i64>("count")?)
        })
        .await?;
    let waits = event.data["waits"] == "behind";
    ctx.step("behind", || async {
        app.world.note("behind");
        if waits { app.pass().await } else { Ok(()) }
    })
    .await?;
    Ok(count)
}

/// Writes, and fails as the event says.
async fn failing(event: Event, ctx: Ctx<App>) -> Result<()> {
    let (app, run) = (ctx.app(), ctx.run());
    let how = event.data["how"].as_str().unwrap_or_default();
    let step = ctx.tx_step("charge", |tx| async move {
        app.world.note(how);
        let attempt = app.world.count(how);
        tx.execute(INSERT, &[run.into(), how.into()]).await?;
        match how {
            "once" if attempt == 1 => Err(Terminal::new("never"))?,
            "retried" if attempt < 3 => Err(std::io::Error::other("away"))?,
            "swallowed" => drop(tx.execute("INSERT INTO nowhere (id) VALUES ($1)", &[run.into()]).await),
            "forbidden" => drop(tx.execute("COMMIT", &[]).await?),
            "endless" => std::future::pending::<()>().await,
            _ => {}
        }
        Ok::<_, Error>(())
    });
    step.retries(2).backoff(Backoff::Fixed(PAUSE)).hold(Duration::from_millis(300)).await
}

/// The connection is cut when its transaction is committed.
/// Names the connection whose commit is lost.
const DOUBTFUL: &str = "UPDATE app_charges SET note = 'doubtful'";

async fn in_doubt(event: Event, ctx: Ctx<App>) -> Result<()> {
    let (app, run, is_written) = (ctx.app(), ctx.run(), event.data["written"] == true);
    let step = ctx.tx_step("charge", |tx| async move {
        app.world.note("body");
        tx.execute(INSERT, &[run.into(), "in doubt".into()]).await?;
        if let Some(proxy) = app.proxy.as_ref().filter(|_| app.world.count("body") == 1) {
            // Others commit at this moment too.
            let texts = vec![DOUBTFUL.as_bytes().to_vec(), b"COMMIT\0".to_vec()];
            proxy.set(if is_written { Fault::CutAfterTexts(texts) } else { Fault::CutBeforeTexts(texts) });
            tx.execute(DOUBTFUL, &[]).await?;
        }
        Ok::<_, Error>(())
    });
    step.await
}

fn functions() -> Functions<App> {
    Functions::new()
        .add(function("charge", charge).on("app/charge"))
        .add(function("failing", failing).on("app/failing"))
        .add(function("in_doubt", in_doubt).on("app/in_doubt"))
}

struct House {
    store: Store,
    clock: Arc<ManualClock>,
    app: App,
    /// Of the database itself, beside any proxy.
    url: String,
    _database: TestDatabase,
}

impl House {
    async fn new(database: TestDatabase) -> Self {
        let url = database.url();
        Self::at(database, url, None).await
    }

    /// `url` is how the engine reaches the database.
    async fn at(database: TestDatabase, url: String, proxy: Option<Arc<Proxy>>) -> Self {
        let store = opened(&url).await;
        let url = database.url();
        sql::execute(&url, "CREATE TABLE app_charges (id TEXT, note TEXT NOT NULL)").unwrap();
        let clock = clock();
        let app = App { world: World::default(), gate: Arc::new(Semaphore::new(0)), proxy };
        Self { store, clock, app, url, _database: database }
    }

    fn engine(&self, holder: &str) -> Engine {
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let app = Arc::new(self.app.clone());
        Engine::start(EngineOptions::new(holder), functions(), app, self.store.clone(), clock)
    }

    /// Starts a run.
    async fn start(&self, id: &str, name: &str, data: serde_json::Value) -> String {
        let now = self.clock.now();
        let (event, names) = (Event::new(id, name, data, now), [name.to_owned()]);
        let publication = publication(&functions(), &event, Source::User, &names, now);
        let run = publication.runs[0].id.clone();
        let published = self.store.transact(Publish::one(publication, now)).await.unwrap();
        assert_eq!(published[0].started, [true]);
        run
    }

    async fn until(&self, id: &str, state: RunState) -> FlowRun {
        until(&self.store, id, state).await
    }

    async fn seen(&self, what: &str, times: usize) {
        self.app.world.until(what, times).await;
    }

    /// Rows of a run.
    fn charges(&self, run: &str) -> i64 {
        sql::number(&self.url, &format!("SELECT count(*) FROM app_charges WHERE id = '{run}'")).unwrap()
    }
}

fn on_both<F: Future<Output = ()>>(test: &str, body: impl Fn(House) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for database in TestDatabase::both(test).unwrap() {
        runtime.block_on(async { body(House::new(database).await).await });
    }
}

#[test]
fn a_process_that_dies_before_the_commit_leaves_neither_row_nor_record() {
    on_both("a_process_that_dies_before_the_commit_leaves_neither_row_nor_record", async |house| {
        let dying = house.engine("a");
        let run = house.start("evt_1", "app/charge", json!({ "waits": "inside" })).await;
        dying.wake();
        house.seen("inside", 1).await;
        dying.abandon();
        let heir = house.engine("b");
        house.clock.advance(SignedDuration::from_secs(10));
        heir.wake();
        house.seen("inside", 2).await;
        assert_eq!(house.charges(&run), 0, "nothing is committed");
        house.app.gate.add_permits(1);
        let ended = house.until(&run, RunState::Succeeded).await;
        assert_eq!((ended.result.as_deref(), house.charges(&run)), (Some("1"), 1));
        heir.stop().await;
    });
}

#[test]
fn a_process_that_dies_after_the_commit_does_not_repeat_it() {
    on_both("a_process_that_dies_after_the_commit_does_not_repeat_it", async |house| {
        let dying = house.engine("a");
        let run = house.start("evt_1", "app/charge", json!({ "waits": "behind" })).await;
        dying.wake();
        house.seen("behind", 1).await;
        assert_eq!(house.charges(&run), 1);
        dying.abandon();
        let heir = house.engine("b");
        house.clock.advance(SignedDuration::from_secs(10));
        heir.wake();
        house.seen("behind", 2).await;
        house.app.gate.add_permits(1);
        let ended = house.until(&run, RunState::Succeeded).await;
        assert_eq!((ended.result.as_deref(), house.charges(&run)), (Some("1"), 1));
        assert_eq!(house.app.world.count("body"), 1, "what is recorded is not repeated");
        heir.stop().await;
    });
}

#[test]
fn an_attempt_that_fails_writes_nothing_and_is_made_again() {
    on_both("an_attempt_that_fails_writes_nothing_and_is_made_again", async |house| {
        let engine = house.engine("a");
        let run = house.start("evt_1", "app/failing", json!({ "how": "retried" })).await;
        let terminal = house.start("evt_2", "app/failing", json!({ "how": "once" })).await;
        engine.wake();
        for attempt in 1..=2 {
            house.seen("retried", attempt).await;
            house.until(&run, RunState::Waiting).await;
            assert_eq!(house.charges(&run), 0);
            house.clock.advance(PAUSE);
            engine.wake();
        }
        house.until(&run, RunState::Succeeded).await;
        assert_eq!((house.charges(&run), house.app.world.count("retried")), (1, 3));
        assert_eq!(house.until(&terminal, RunState::Failed).await.message.as_deref(), Some("never"));
        assert_eq!((house.charges(&terminal), house.app.world.count("once")), (0, 1));
        engine.stop().await;
    });
}

#[test]
fn an_error_that_the_body_swallows_or_must_not_make_commits_nothing() {
    on_both("an_error_that_the_body_swallows_or_must_not_make_commits_nothing", async |house| {
        let engine = house.engine("a");
        let forbidden = house.start("evt_1", "app/failing", json!({ "how": "forbidden" })).await;
        let swallowed = house.start("evt_2", "app/failing", json!({ "how": "swallowed" })).await;
        engine.wake();
        let message = house.until(&forbidden, RunState::Failed).await.message.unwrap_or_default();
        assert!(message.contains("COMMIT cannot be used in tx_step"), "{message}");
        assert_eq!((house.charges(&forbidden), house.app.world.count("forbidden")), (0, 1), "it is final");
        for attempt in 1..=2 {
            house.seen("swallowed", attempt).await;
            house.until(&swallowed, RunState::Waiting).await;
            house.clock.advance(PAUSE);
            engine.wake();
        }
        let message = house.until(&swallowed, RunState::Failed).await.message.unwrap_or_default();
        assert!(message.contains("a statement of the transaction had failed"), "{message}");
        assert_eq!(house.charges(&swallowed), 0);
        engine.stop().await;
    });
}

#[test]
fn a_transaction_that_is_held_too_long_fails_and_lets_the_others_go_on() {
    on_both("a_transaction_that_is_held_too_long_fails_and_lets_the_others_go_on", async |house| {
        let engine = house.engine("a");
        let endless = house.start("evt_1", "app/failing", json!({ "how": "endless" })).await;
        engine.wake();
        for attempt in 1..=3 {
            house.seen("endless", attempt).await;
            let other = house.start(&format!("evt_other_{attempt}"), "app/charge", json!({})).await;
            engine.wake();
            house.until(&other, RunState::Succeeded).await;
            if attempt < 3 {
                house.until(&endless, RunState::Waiting).await;
                house.clock.advance(PAUSE);
                engine.wake();
            }
        }
        let message = house.until(&endless, RunState::Failed).await.message.unwrap_or_default();
        assert!(message.contains("open for longer than 300ms"), "{message}");
        assert_eq!(house.charges(&endless), 0);
        engine.stop().await;
    });
}

#[test]
fn many_runs_write_once_each_beside_others_that_roll_back() {
    const RUNS: usize = 50;
    on_both("many_runs_write_once_each_beside_others_that_roll_back", async |house| {
        let (mut kept, mut undone) = (Vec::new(), Vec::new());
        for number in 0..RUNS {
            kept.push(house.start(&format!("evt_{number}"), "app/charge", json!({})).await);
            undone
                .push(house.start(&format!("evt_undone_{number}"), "app/failing", json!({ "how": "forbidden" })).await);
        }
        let engines = [house.engine("a"), house.engine("b")];
        for (kept, undone) in kept.iter().zip(&undone) {
            assert_eq!(house.until(kept, RunState::Succeeded).await.result.as_deref(), Some("1"));
            house.until(undone, RunState::Failed).await;
        }
        assert!(kept.iter().all(|run| house.charges(run) == 1) && undone.iter().all(|run| house.charges(run) == 0));
        for engine in engines {
            engine.stop().await;
        }
    });
}

#[test]
fn a_commit_whose_answer_is_lost_is_neither_lost_nor_made_twice() {
    let name = "a_commit_whose_answer_is_lost_is_neither_lost_nor_made_twice";
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for is_written in [true, false] {
        let Some(database) = TestDatabase::postgres_or_skip(name).unwrap() else { return };
        runtime.block_on(async {
            let url = database.url();
            let (front, name) = url.rsplit_once('/').unwrap();
            let (user, host) = front.rsplit_once('@').unwrap();
            let proxy = Arc::new(Proxy::start(host.to_socket_addrs().unwrap().next().unwrap()).unwrap());
            let through = format!("{user}@{}/{name}", proxy.address());
            let house = House::at(database, through, Some(Arc::clone(&proxy))).await;
            let run = house.start("evt_1", "app/in_doubt", json!({ "written": is_written })).await;
            let engine = house.engine("a");
            house.until(&run, RunState::Succeeded).await;
            assert_eq!(proxy.cuts(), 1, "the connection was cut at the commit");
            assert_eq!(house.charges(&run), 1);
            assert_eq!(house.app.world.count("body"), if is_written { 1 } else { 2 });
            engine.stop().await;
        });
    }
}

#[tokio::test]
async fn a_trial_fakes_a_transaction_or_says_that_it_needs_a_fake() {
    let app = App { world: World::default(), gate: Arc::new(Semaphore::new(0)), proxy: None };
    let charge = function("charge", charge);
    let trial = Trial::new(&charge, app.clone(), json!({})).fake("charge", json!(7));
    assert_eq!(trial.run().await.result, Ok(json!(7)));
    assert_eq!(trial.survives_crashes().await, Ok(2));
    assert_eq!(app.world.count("body"), 0);
    let message = Trial::new(&charge, app.clone(), json!({})).run().await.result.unwrap_err();
    assert!(message.contains(".fake(\"charge\", json!(…))"), "{message}");
    let failed = Trial::new(&charge, app, json!({})).fail("charge", "no such user").run().await;
    assert_eq!(failed.result, Err("no such user".to_owned()));
}
