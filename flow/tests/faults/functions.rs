//! What is executed while things fail. Every step tells the observer before it returns.

use std::io::{Error as IoError, Result as IoResult};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use billhook_core::Clock;
use billhook_core::step::StepKey;
use billhook_flow::{Backoff, Ctx, Event, Functions, Result, function, hours};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// How long an order pauses.
pub const PAUSE: SignedDuration = SignedDuration::from_millis(700);
/// How long after its order a reminder is due.
pub const LATER: SignedDuration = SignedDuration::from_millis(900);
/// Frames deep enough for any stack of a thread.
const DEEP: u64 = 100_000_000;

/// What functions have.
pub struct App {
    pub observer: SocketAddr,
    pub clock: Arc<dyn Clock>,
    /// How long the work of a step takes.
    pub work: Duration,
}

/// A call of a step, as the observer hears of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Told {
    pub run: String,
    pub step: String,
    pub event: String,
    pub key: String,
    pub process: u32,
    /// The engine's time in microseconds, before the step returns and so before its result is recorded.
    pub engine_time: i64,
}

impl App {
    /// Tells the observer and waits for its answer: it has seen the call before anything else happens.
    pub async fn tell(&self, run: &str, step: &str, event: &str, key: &str) -> IoResult<()> {
        let told = Told {
            run: run.to_owned(),
            step: step.to_owned(),
            event: event.to_owned(),
            key: key.to_owned(),
            process: std::process::id(),
            engine_time: self.clock.now().as_microsecond(),
        };
        let mut line = serde_json::to_vec(&told)?;
        line.push(b'\n');
        let mut stream = TcpStream::connect(self.observer).await?;
        stream.write_all(&line).await?;
        let mut answer = [0];
        stream.read_exact(&mut answer).await?;
        tokio::time::sleep(self.work).await;
        Ok(())
    }
}

/// A step that tells.
pub async fn step(ctx: &Ctx<App>, event: &Event, id: &str) -> Result<()> {
    let (app, run, event) = (ctx.app(), ctx.run(), event.id.as_str());
    ctx.step_with(id, |call| async move { app.tell(run, id, event, call.idempotency_key()).await })
        .retries(20)
        .backoff(Backoff::Fixed(SignedDuration::from_millis(200)))
        .await
}

/// Steps one after the other and at the same time, a pause, a wait, events that are sent now and later, and SQL.
async fn order(event: Event, ctx: Ctx<App>) -> Result<Option<String>> {
    let (app, run) = (ctx.app(), ctx.run());
    step(&ctx, &event, "receive").await?;
    let of = event.id.as_str();
    let part = |id: &'static str| {
        ctx.step_with(id, move |call| async move { app.tell(run, id, of, call.idempotency_key()).await })
            .retries(20)
            .backoff(Backoff::Fixed(SignedDuration::from_millis(200)))
    };
    ctx.join((part("left"), part("right"))).await?;
    ctx.sleep("pause", PAUSE).await;
    step(&ctx, &event, "woke").await?;
    let approval = ctx.wait_for_event::<serde_json::Value>("approval", "app/approved");
    let approval = approval.matching("async.data.order == event.data.order").timeout(hours(1)).await;
    ctx.send("ship", "app/shipped", &json!({ "order": of })).await?;
    ctx.send("remind", "app/reminded", &json!({ "order": of })).at(ctx.now() + LATER).await?;
    ctx.tx_step("book", |tx| async move {
        app.tell(run, "book", of, &StepKey::new("book", 1).idempotency_key(run)).await?;
        tx.execute("INSERT INTO booked (run) VALUES ($1)", &[run.into()]).await?;
        Ok::<_, billhook_flow::Error>(())
    })
    .retries(20)
    .await?;
    Ok(approval.map(|event| event.id))
}

/// What orders send starts these: one step.
async fn note(event: Event, ctx: Ctx<App>) -> Result<()> {
    step(&ctx, &event, "note").await
}

/// Sleeps for as many seconds as its event says.
async fn sleeper(event: Event, ctx: Ctx<App>) -> Result<()> {
    step(&ctx, &event, "lie down").await?;
    let seconds = event.data["seconds"].as_i64().unwrap_or_default();
    ctx.sleep("sleep", SignedDuration::from_secs(seconds)).await;
    step(&ctx, &event, "woke").await
}

/// A step that takes as long as the observer likes.
async fn long(event: Event, ctx: Ctx<App>) -> Result<()> {
    step(&ctx, &event, "short").await?;
    step(&ctx, &event, "long").await
}

async fn aborts(event: Event, ctx: Ctx<App>) -> Result<()> {
    step(&ctx, &event, "begin").await?;
    step(&ctx, &event, "strike").await?;
    std::process::abort()
}

fn descend(depth: u64) -> u64 {
    let frame = std::hint::black_box([depth; 64]);
    if depth == 0 { frame[0] } else { descend(depth - 1) + frame[1] }
}

/// Overflows its stack before any of its steps is recorded.
async fn overflows(event: Event, ctx: Ctx<App>) -> Result<u64> {
    let (app, run, of) = (ctx.app(), ctx.run(), event.id.as_str());
    ctx.step_with("strike", |call| async move {
        app.tell(run, "strike", of, call.idempotency_key()).await?;
        Ok::<_, IoError>(descend(DEEP))
    })
    .await
}

pub fn functions() -> Functions<App> {
    Functions::new()
        .add(function("order", order).on("app/order"))
        .add(function("shipped", note).on("app/shipped"))
        .add(function("reminded", note).on("app/reminded"))
        .add(function("sleeper", sleeper).on("app/sleeper"))
        .add(function("long", long).on("app/long"))
        .add(function("aborts", aborts).on("app/aborts"))
        .add(function("overflows", overflows).on("app/overflows"))
}
