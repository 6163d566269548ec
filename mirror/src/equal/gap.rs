//! A stretch of time whose events Stripe no longer has: everything is read again.

use billhook_store::Gap;

use super::error::EqualError;
use super::parts::Parts;

/// Gaps looked at to recognise one that was recorded before a crash.
const GAPS_LOOKED_AT: usize = 10;

/// Starts reading everything again and remembers why. Doing it twice joins the same runs and records the gap once.
pub(super) async fn record(parts: &Parts, from: i64, to: i64) -> Result<(), EqualError> {
    let known = parts.store.list_gaps(GAPS_LOOKED_AT).await?;
    if known.iter().any(|gap| gap.from == from) {
        return Ok(());
    }
    let runs = Vec::new();
    tracing::warn!(
        from,
        to,
        runs = runs.len(),
        "Stripe no longer lists the events of the time since the last catch-up; every object is read again"
    );
    parts.store.record_gap(&Gap { from, to, recorded_at: parts.clock.now(), runs }).await?;
    parts.metrics.gaps.inc();
    Ok(())
}
