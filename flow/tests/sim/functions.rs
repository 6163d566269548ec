//! The functions of a simulation. What they do stands in the plan; every step tells the world what it did.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use billhook_core::Clock as _;
use billhook_core::retry::Backoff;
use billhook_flow::{Call, Ctx, Error, Event, Functions, Result, RetryAfter, Terminal, days, function};
use billhook_store::SqlValue;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::node::Health;
use crate::plan::{Failing, Operation, StepPlan};
use crate::world::World;

/// After this time an attempt that hangs has failed.
const HANGING: Duration = Duration::from_millis(500);
/// Nobody who was called off begins a step after this time: what has been claimed by then has been executed or was refused.
const AFTER_CANCEL: Duration = Duration::from_secs(12);

/// Which event calls an order off.
const STOPS: &str = "async.data.order == event.data.order";
/// A function stumbles less often, so that this never ends a run.
const STUMBLES_MAX: u32 = 20;

/// How long an invoked run may take, in days: it always ends earlier.
const INVOKED_DAYS: i64 = 20;

/// What functions share with their process.
pub struct App {
    pub health: Arc<Health>,
}

/// The data of all events.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct About {
    /// `order-2`: expressions look texts up.
    pub order: String,
    /// The operation that it comes from or is for.
    #[serde(default)]
    pub operation: String,
    /// The run that sent it.
    #[serde(default)]
    pub run: String,
}

pub fn functions() -> Functions<App> {
    Functions::new()
        .add(function("work", work).on("app/order").cancel_on("app/stop", STOPS).retries(STUMBLES_MAX))
        .add(function("note", note).on("app/order").on("app/sent"))
        .add(function("child", child).on("app/child"))
}

/// Works an order off.
async fn work(event: Event<About>, ctx: Ctx<App>) -> Result<Vec<Value>> {
    begin(&event, &ctx).await;
    let operations = operations(&ctx.app().health.world, &event.data.order).to_vec();
    let mut results = Vec::new();
    for (number, operation) in operations.iter().enumerate() {
        results.push(perform(&ctx, &event.data.order, number.to_string(), operation).await?);
    }
    Ok(results)
}

/// What orders and what they send start beside: one step that always succeeds.
async fn note(event: Event<About>, ctx: Ctx<App>) -> Result<Value> {
    begin(&event, &ctx).await;
    let plan = StepPlan { fails: 0, retries: 0, how: Failing::Usual, at_most_once: false, is_fatal: true, takes_ms: 0 };
    step(&ctx, "note".to_owned(), &plan).await
}

/// What an order invokes.
async fn child(event: Event<About>, ctx: Ctx<App>) -> Result<Value> {
    begin(&event, &ctx).await;
    let About { order, operation, .. } = &event.data;
    let plan = operations(&ctx.app().health.world, order)
        .iter()
        .zip(0..)
        .find_map(|(found, number)| match found {
            Operation::Invoke(plan) if number.to_string() == *operation => Some(plan.clone()),
            _ => None,
        })
        .ok_or_else(|| Terminal::new("nobody invoked this"))?;
    step(&ctx, "child".to_owned(), &StepPlan { is_fatal: true, ..plan }).await
}

pub fn operations<'world>(world: &'world World, order: &str) -> &'world [Operation] {
    let number: Option<usize> = order.strip_prefix("order-").and_then(|number| number.parse().ok());
    number.and_then(|number| world.plan.orders.get(number)).map_or(&[], |program| &program.0)
}

/// An execution begins: not before its time, and not long after its run was called off.
async fn begin(event: &Event<About>, ctx: &Ctx<App>) {
    let health = &ctx.app().health;
    health.awake().await;
    let world = &health.world;
    world.log(format!("{} executes {} for {}", health.name, ctx.run(), event.id));
    health.now();
    let latest = world.state().latest;
    if event.ts > latest {
        world.violate(format!("{} is for {}, and no clock has shown more than {latest}", event.id, event.ts));
    }
}

type Performed<'a> = Pin<Box<dyn Future<Output = Result<Value>> + 'a>>;

fn perform<'a>(ctx: &'a Ctx<App>, order: &'a str, id: String, operation: &'a Operation) -> Performed<'a> {
    Box::pin(async move {
        match operation {
            Operation::Step(plan) => step(ctx, id, plan).await,
            Operation::Transaction(plan) => transaction(ctx, id, plan).await,
            Operation::Sleep { ms } => sleep(ctx, id, *ms).await,
            Operation::Wait { ms } => wait(ctx, id, *ms).await,
            Operation::Send { later_ms } => send(ctx, order, id, *later_ms).await,
            Operation::Invoke(plan) => invoke(ctx, order, id, plan).await,
            Operation::Stumble { times, panics } => stumble(ctx, id, *times, *panics),
            Operation::Both(both) => {
                let [first, second] = &**both;
                let (first, second) = tokio::join!(
                    perform(ctx, order, format!("{id}a"), first),
                    perform(ctx, order, format!("{id}b"), second)
                );
                Ok(json!([first?, second?]))
            }
        }
    })
}

/// What the oracle knows of one step in one execution.
struct Watch {
    health: Arc<Health>,
    run: String,
    id: String,
    /// Why this call may only be that of somebody who has lost the run: then its result is refused.
    doubt: std::sync::Mutex<Option<String>>,
    was_called: AtomicBool,
}

impl Watch {
    fn new(ctx: &Ctx<App>, id: &str) -> Arc<Self> {
        let health = Arc::clone(&ctx.app().health);
        let (run, id, doubt) = (ctx.run().to_owned(), id.to_owned(), std::sync::Mutex::default());
        Arc::new(Self { health, run, id, doubt, was_called: AtomicBool::new(false) })
    }

    fn key(&self) -> (String, String) {
        (self.run.clone(), self.id.clone())
    }

    /// An attempt begins.
    async fn call(&self, call: Option<&Call>) {
        self.health.awake().await;
        let world = &self.health.world;
        self.was_called.store(true, Ordering::Relaxed);
        let recorded = recorded(world, &self.run, &self.id).await;
        let now = self.health.now();
        if let Some((memo, is_final)) = recorded {
            let at = memo["retry"]["at"].as_str().map(|at| at.parse::<Timestamp>().unwrap());
            if is_final {
                *self.doubt.lock().unwrap() = Some("its result had been recorded".to_owned());
            } else if let Some(at) = at.filter(|at| *at > now) {
                *self.doubt.lock().unwrap() = Some(format!("it was called before {at}"));
            }
        }
        let attempt = call.map(Call::attempt).unwrap_or_default();
        world.log(format!("{} calls {} of {}, attempt {attempt}", self.health.name, self.id, self.run));
        let mut state = world.state();
        let calls = state.calls.entry(self.key()).or_default();
        calls.count += 1;
        let Some(call) = call else { return };
        let other = (!calls.key.is_empty() && calls.key != call.idempotency_key()).then(|| calls.key.clone());
        calls.key = call.idempotency_key().to_owned();
        let cancelled = state.cancelled.get(&self.run).copied();
        drop(state);
        if let Some(other) = other {
            let key = call.idempotency_key();
            world.violate(format!("{} of {} was called with the keys {other} and {key}", self.id, self.run));
        }
        if cancelled.is_some_and(|at| at.elapsed() > AFTER_CANCEL) {
            world.violate(format!("{} of {} was called long after the run was called off", self.id, self.run));
        }
    }

    /// What may happen in the middle of a step.
    async fn middle(&self, plan: &StepPlan) {
        tokio::time::sleep(Duration::from_millis(plan.takes_ms)).await;
        let rates = self.health.rates();
        if self.health.world.happens(rates.death) {
            self.health.die(&format!("in {} of {}", self.id, self.run));
        }
        if self.health.world.happens(rates.freeze * 4) {
            self.health.freeze();
        }
        self.health.awake().await;
    }

    /// The function was given a result: the record was accepted, now or earlier.
    fn returned(&self, result: &Result<Value>) {
        let world = &self.health.world;
        let result = result.as_ref().map_err(|error| error.message().to_owned()).cloned();
        let doubt = self.doubt.lock().unwrap().clone();
        if let Some(doubt) = doubt {
            world.violate(format!("{} of {} was accepted again although {doubt}", self.id, self.run));
        }
        let mut state = world.state();
        let was_retried = state.retried.contains_key(&self.run);
        let before = state.results.insert(self.key(), result.clone());
        drop(state);
        // Who lets a run go on forgets failures.
        let may_differ = was_retried && matches!(before, Some(Err(_)));
        if let Some(before) = before
            && before != result
            && !may_differ
        {
            world.violate(format!("{} of {} was {before:?} and is {result:?}", self.id, self.run));
        }
    }

    /// The same for a result that the function goes on with, or fails for.
    fn given(&self, result: Result<Value>, is_fatal: bool) -> Result<Value> {
        self.returned(&result);
        match result {
            Err(error) if !is_fatal => Ok(json!({ "failed": error.message() })),
            other => other,
        }
    }
}

/// What is recorded of a step, and whether it is final.
async fn recorded(world: &World, run: &str, id: &str) -> Option<(Value, bool)> {
    let sql = "SELECT memo, is_final FROM billhook_flow_steps WHERE run = $1 AND step = $2";
    let rows = world.rows(sql, &[run.into(), id.into()]).await;
    let row = rows.first()?;
    let memo: String = row.get("memo").unwrap();
    Some((serde_json::from_str(&memo).unwrap(), row.get("is_final").unwrap()))
}

fn failure(how: Failing) -> Error {
    match how {
        Failing::Later => RetryAfter::new(SignedDuration::from_secs(3), "not now").into(),
        Failing::Terminal => Terminal::new("never").into(),
        Failing::Usual | Failing::Hangs => std::io::Error::other("it failed").into(),
    }
}

async fn step(ctx: &Ctx<App>, id: String, plan: &StepPlan) -> Result<Value> {
    let watch = Watch::new(ctx, &id);
    let seen = Arc::clone(&watch);
    let body = move |call: Call| async move {
        seen.call(Some(&call)).await;
        seen.middle(plan).await;
        if call.attempt() < plan.fails {
            if plan.how == Failing::Hangs {
                std::future::pending::<()>().await;
            }
            return Err(failure(plan.how));
        }
        let effect = seen.health.world.effect();
        seen.middle(plan).await;
        Ok(json!(effect))
    };
    let step = ctx.step_with(id, body).retries(plan.retries);
    let step = if plan.how == Failing::Hangs {
        step.timeout(HANGING + Duration::from_millis(2 * plan.takes_ms))
    } else {
        step
    };
    let step =
        if plan.fails.is_multiple_of(2) { step.backoff(Backoff::Fixed(SignedDuration::from_secs(1))) } else { step };
    let result = if plan.at_most_once { step.at_most_once().await } else { step.await };
    watch.given(result, plan.is_fatal)
}

/// Books itself in the transaction in which it is recorded.
async fn transaction(ctx: &Ctx<App>, id: String, plan: &StepPlan) -> Result<Value> {
    let watch = Watch::new(ctx, &id);
    let body = |tx: billhook_flow::Tx| {
        let watch = Arc::clone(&watch);
        async move {
            let (run, id) = (SqlValue::from(watch.run.as_str()), SqlValue::from(watch.id.as_str()));
            let key = [run, id];
            watch.call(None).await;
            // Attempts that failed are rolled back, so they are counted in the world.
            let called = watch.health.world.state().calls[&watch.key()].count;
            tx.execute("INSERT INTO booked (run, step) VALUES ($1, $2)", &key).await?;
            watch.middle(plan).await;
            if called <= plan.fails && plan.how != Failing::Hangs {
                return Err(failure(plan.how));
            }
            let rows = tx.query("SELECT count(*) AS number FROM booked WHERE run = $1 AND step = $2", &key).await?;
            Ok::<_, Error>(json!(rows[0].get::<i64>("number")?))
        }
    };
    let result = ctx.tx_step(id, body).retries(plan.retries).await;
    watch.given(result, plan.is_fatal)
}

async fn sleep(ctx: &Ctx<App>, id: String, ms: i64) -> Result<Value> {
    let health = &ctx.app().health;
    ctx.sleep(id.as_str(), SignedDuration::from_millis(ms)).await;
    if let Some((memo, _)) = recorded(&health.world, ctx.run(), &id).await {
        let until: Timestamp = memo["sleep"]["until"].as_str().unwrap().parse().unwrap();
        if health.now() < until {
            health.world.violate(format!("{id} of {} slept until {until} and is over before", ctx.run()));
        }
    }
    Ok(json!("slept"))
}

async fn wait(ctx: &Ctx<App>, id: String, ms: i64) -> Result<Value> {
    let watch = Watch::new(ctx, &id);
    let matching = format!("async.data.order == event.data.order && async.data.operation == {}", json!(id));
    let waited = ctx.wait_for_event::<About>(id, "app/reply").matching(matching);
    let came = waited.timeout(SignedDuration::from_millis(ms)).await;
    watch.given(Ok(came.map_or(Value::Null, |event| json!(event.id))), false)
}

async fn send(ctx: &Ctx<App>, order: &str, id: String, later_ms: Option<i64>) -> Result<Value> {
    let watch = Watch::new(ctx, &id);
    let about = About { order: order.to_owned(), operation: id.clone(), run: ctx.run().to_owned() };
    let send = ctx.send(id, "app/sent", &about);
    let sent = match later_ms {
        Some(ms) => send.at(ctx.now() + SignedDuration::from_millis(ms)).await,
        None => send.await,
    };
    watch.given(sent.map(Value::from), true)
}

async fn invoke(ctx: &Ctx<App>, order: &str, id: String, plan: &StepPlan) -> Result<Value> {
    let watch = Watch::new(ctx, &id);
    let about = About { order: order.to_owned(), operation: id.clone(), run: ctx.run().to_owned() };
    let returned = ctx.invoke::<Value>(id, "child", &about).timeout(days(INVOKED_DAYS)).await;
    watch.given(returned, plan.is_fatal)
}

/// The function itself fails.
fn stumble(ctx: &Ctx<App>, id: String, times: u32, panics: bool) -> Result<Value> {
    let mut state = ctx.app().health.world.state();
    let stumbled = state.stumbled.entry((ctx.run().to_owned(), id)).or_default();
    if *stumbled >= times {
        return Ok(json!("steady"));
    }
    *stumbled += 1;
    drop(state);
    if panics {
        // Nothing is printed, as it would be by `panic!`.
        std::panic::resume_unwind(Box::new("simulated"));
    }
    Err(std::io::Error::other("it stumbled").into())
}
