//! The engine on both stores: the functions that its tests execute, and the house in which they do.

mod clock;
mod events;
mod hints;
mod invoked;
mod mirror;
mod runs;
mod strays;
mod times;
mod versions;

use std::io::Error as IoError;
use std::sync::Arc;

use billhook_core::run::RunState;
use billhook_core::{Clock, ManualClock};
use billhook_flow::engine::{Engine, EngineOptions, Publish, Source, publication};
use billhook_flow::schedule::Missed;
use billhook_flow::{Backoff, Ctx, Event, Functions, Result, Terminal, days, function};
use billhook_store::{FlowRun, Store};
use billhook_testkit::TestDatabase;
use jiff::SignedDuration;
use serde_json::json;
use tokio::sync::Semaphore;

use crate::World;
use crate::database::{clock, opened, until};

/// What the functions of these tests have.
#[derive(Clone)]
pub struct App {
    pub world: World,
    /// Steps of `blocked` go on when there is a permit.
    pub gate: Arc<Semaphore>,
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

/// Invokes what its event names, and tells how that ended.
async fn caller(event: Event, ctx: Ctx<App>) -> Result<String> {
    let function = event.data["function"].as_str().unwrap_or_default();
    let ended: Result<serde_json::Value> = ctx.invoke("call", function, &event.data["data"]).await;
    Ok(match ended {
        Ok(value) => format!("it returned {value}"),
        Err(error) => error.to_string(),
    })
}

/// Wants a number.
async fn number(event: Event<u32>, _ctx: Ctx<App>) -> Result<u32> {
    Ok(event.data)
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

/// Gives the word that its event names, then fails once.
async fn approver(event: Event, ctx: Ctx<App>) -> Result<()> {
    let (world, of) = (&ctx.app().world, event.data["of"].as_str().unwrap_or_default());
    ctx.send_signal("word", format!("approve \"{of}\""), &"granted").await?;
    ctx.step("after", || async {
        let after = format!("after {of}");
        world.note(after.as_str());
        if world.count(&after) == 1 { Err(IoError::other("not yet")) } else { Ok(()) }
    })
    .await
}

/// Waits for somebody's word, which may come while it sleeps.
async fn slow_approval(event: Event, ctx: Ctx<App>) -> Result<(Option<String>, Option<String>)> {
    ctx.sleep("an hour", SignedDuration::from_hours(1)).await;
    let signal = format!("approve \"{}\"", event.id);
    let first = ctx.wait_for_signal("word", &signal).timeout(days(2)).await;
    Ok((first, ctx.wait_for_signal("word", &signal).timeout(days(2)).await))
}

/// Waits for somebody's word.
async fn approval(event: Event, ctx: Ctx<App>) -> Result<Option<String>> {
    let signal = format!("approve \"{}\"", event.id);
    Ok(ctx.wait_for_signal("word", signal).timeout(days(2)).await)
}

pub fn functions() -> Functions<App> {
    Functions::new()
        .add(function("approver", approver).on("app/approve"))
        .add(function("slow-approval", slow_approval).on("app/slow-approval"))
        .add(function("approval", approval).on("app/approval"))
        .add(function("caller", caller).on("app/call"))
        .add(function("number", number).on("app/number"))
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
pub struct House {
    pub store: Store,
    pub clock: Arc<ManualClock>,
    pub app: App,
    database: TestDatabase,
}

impl House {
    async fn new(database: TestDatabase) -> Self {
        let store = opened(&database.url()).await;
        let clock = clock();
        let app = App { world: World::default(), gate: Arc::new(Semaphore::new(0)) };
        Self { store, clock, app, database }
    }

    /// The database's URL.
    pub fn url(&self) -> String {
        self.database.url()
    }

    pub fn engine(&self, holder: &str) -> Engine {
        self.engine_of(holder, functions())
    }

    /// An engine with other functions.
    pub fn engine_of(&self, holder: &str, functions: Functions<App>) -> Engine {
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let app = Arc::new(self.app.clone());
        Engine::start(EngineOptions::new(holder), functions, app, self.store.clone(), clock)
    }

    /// A run that was set aside after five engines had died with it, and the engine that did so.
    pub async fn set_aside(&self) -> (FlowRun, Engine) {
        let run = self.send("evt_1", "app/blocked").await.expect("a new run");
        for death in 1..=5 {
            let dying = self.engine("dying");
            self.seen("second", death).await;
            dying.abandon();
            self.clock.advance(SignedDuration::from_secs(10));
        }
        let heir = self.engine("heir");
        (self.until(&run, RunState::Parked).await, heir)
    }

    /// Routes an event; returns the id of the run it starts, if that is new.
    pub async fn send(&self, id: &str, name: &str) -> Option<String> {
        let now = self.clock.now();
        let event = Event::new(id, name, json!({ "of": id }), now);
        self.publish(event).await
    }

    /// Publishes an event; returns the id of the run that it starts, if that is new.
    pub async fn publish(&self, event: Event) -> Option<String> {
        self.publish_to(&functions(), event).await
    }

    /// The same for other functions.
    pub async fn publish_to(&self, functions: &Functions<App>, event: Event) -> Option<String> {
        let (names, now) = ([event.name.clone()], self.clock.now());
        let publication = publication(functions, &event, Source::User, &names, now);
        let ids: Vec<String> = publication.runs.iter().map(|run| run.id.clone()).collect();
        let published = self.store.transact(Publish::one(publication, now)).await.unwrap().remove(0);
        ids.into_iter().zip(published.started).find_map(|(id, is_new)| is_new.then_some(id))
    }

    pub async fn run(&self, id: &str) -> FlowRun {
        self.store.flow_run(id).await.unwrap().unwrap()
    }

    /// Waits until a run is in a state.
    pub async fn until(&self, id: &str, state: RunState) -> FlowRun {
        until(&self.store, id, state).await
    }

    /// Waits until something has happened so often.
    pub async fn seen(&self, what: &str, times: usize) {
        self.app.world.until(what, times).await;
    }
}

pub fn on_both<F: Future<Output = ()>>(test: &str, body: impl Fn(House) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    for database in TestDatabase::both(test).unwrap() {
        runtime.block_on(async { body(House::new(database).await).await });
    }
}
