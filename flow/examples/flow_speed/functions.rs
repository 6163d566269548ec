//! What the benches execute.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use billhook_core::{Clock as _, SystemClock};
use billhook_flow::{Ctx, Event, Functions, function};
use jiff::Timestamp;

/// What the functions have.
pub struct App {
    pub steps: u32,
    pub ended: AtomicU64,
    pub began: Instant,
    /// Microseconds from the commit of an event, or from the end of a sleep, to the first step.
    lateness: Mutex<Vec<u64>>,
}

impl App {
    pub fn new(steps: u32) -> Self {
        Self { steps, ended: AtomicU64::new(0), began: Instant::now(), lateness: Mutex::default() }
    }

    /// Microseconds since the bench began.
    pub fn elapsed_us(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn note(&self, late_us: u64) {
        self.lateness.lock().unwrap_or_else(PoisonError::into_inner).push(late_us);
    }

    /// How many runs were measured.
    pub fn measured(&self) -> usize {
        self.lateness.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// How many milliseconds late the given share of the runs was at most; nothing when none was measured.
    pub fn late_ms(&self, share: f64) -> Option<f64> {
        let mut lateness = self.lateness.lock().unwrap_or_else(PoisonError::into_inner).clone();
        lateness.sort_unstable();
        let at = ((lateness.len() as f64 - 1.0) * share).round() as usize;
        lateness.get(at).map(|us| *us as f64 / 1_000.0)
    }
}

/// Steps one after the other; the first one notes how late it is.
async fn steps(app: &App, ctx: &Ctx<App>, late_us: impl Fn() -> Option<u64> + Sync) -> billhook_flow::Result<u32> {
    let mut sum = 0;
    for number in 0..app.steps {
        let first = number == 0;
        let step = ctx.step("step", || async {
            if let Some(late) = late_us().filter(|_| first) {
                app.note(late);
            }
            Ok::<_, std::io::Error>(1_u32)
        });
        sum += step.await?;
    }
    app.ended.fetch_add(1, Ordering::Relaxed);
    Ok(sum)
}

async fn stepping(event: Event, ctx: Ctx<App>) -> billhook_flow::Result<u32> {
    let (app, routed) = (ctx.app(), event.data["routed_us"].as_u64());
    steps(app, &ctx, || Some(app.elapsed_us().saturating_sub(routed?))).await
}

async fn sleeping(event: Event, ctx: Ctx<App>) -> billhook_flow::Result<u32> {
    let until = event.data["until_ms"].as_i64().and_then(|ms| Timestamp::from_millisecond(ms).ok()).unwrap_or_default();
    ctx.sleep_until("night", until).await;
    let late = || u64::try_from(SystemClock.now().duration_since(until).as_micros()).ok();
    steps(ctx.app(), &ctx, late).await
}

pub fn functions() -> Functions<App> {
    Functions::new()
        .add(function("stepping", stepping).on("app/bench"))
        .add(function("sleeping", sleeping).on("app/sleep"))
}

/// A function of which each tenant has so many runs at once.
pub fn by_tenant() -> Functions<App> {
    Functions::new().add(function("keyed", stepping).on("app/keyed").concurrency(50).by("event.data.tenant"))
}
