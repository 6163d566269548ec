//! A stretch of time whose events Stripe no longer has: everything is read again.

use billhook_store::Gap;

use super::error::EqualError;
use super::parts::Parts;
use crate::sync::Window;
use crate::sync::names::{self, Target};
use crate::sync::runs::{self, Request};

/// Gaps looked at to recognise one that was recorded before a crash.
const GAPS_LOOKED_AT: usize = 10;

/// Who asked for the runs.
const TRIGGER: &str = "gap";

/// Starts reading everything again and remembers why. Doing it twice joins the same runs and records the gap once.
pub(super) async fn record(parts: &Parts, from: i64, to: i64) -> Result<(), EqualError> {
    let known = parts.store.list_gaps(GAPS_LOOKED_AT).await?;
    if known.iter().any(|gap| gap.from == from) {
        return Ok(());
    }
    let runs = read_again(parts, names::everything()).await?;
    tracing::warn!(
        from,
        to,
        runs = runs.len(),
        "Stripe no longer lists the events between the last catch-up and 30 days ago; every object is read again"
    );
    parts.store.record_gap(&Gap { from, to, recorded_at: parts.clock.now(), runs }).await?;
    parts.metrics.gaps.inc();
    Ok(())
}

/// Starts runs that read these kinds from the first object to the last. A window of `created` would not do: what changed without
/// an event may have been created at any time before. Returns the runs.
pub(super) async fn read_again(parts: &Parts, targets: Vec<Target>) -> Result<Vec<i64>, EqualError> {
    let request = Request {
        targets,
        window: Window::default(),
        trigger: TRIGGER,
        related: false,
        livemode: parts.api.livemode(),
    };
    let started = runs::start(&parts.store, &request, parts.clock.now()).await?;
    Ok(started.into_iter().map(|started| started.run.run()).collect())
}
