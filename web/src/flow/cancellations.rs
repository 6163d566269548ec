//! `/v1/cancellations`: many runs at once.

use billhook_core::ulid::ulid;
use billhook_store::Cancellation;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::query::NUL;
use super::{Answer, Asked, Refusal, reason, text};

/// What is to be called off.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    #[serde(alias = "function_id")]
    function: String,
    event_id: Option<String>,
    started_after: Option<Timestamp>,
    started_before: Option<Timestamp>,
    reason: Option<String>,
    #[serde(default)]
    dry_run: bool,
}

/// A cancellation as callers see it.
#[derive(Serialize)]
struct Made<'a> {
    id: &'a str,
    function_id: &'a str,
    event_id: Option<&'a str>,
    started_after: Option<String>,
    started_before: String,
    reason: &'a str,
    requested_at: String,
    /// Runs that were called off, or would be.
    runs: u64,
    dry_run: bool,
}

impl<'a> Made<'a> {
    fn of(cancellation: &'a Cancellation, runs: u64, dry_run: bool) -> Self {
        Self {
            id: &cancellation.id,
            function_id: &cancellation.function,
            event_id: cancellation.event_id.as_deref(),
            started_after: text(cancellation.created_after),
            started_before: cancellation.created_before.to_string(),
            reason: &cancellation.reason,
            requested_at: cancellation.requested_at.to_string(),
            runs,
            dry_run,
        }
    }
}

pub(super) async fn list(asked: &Asked<'_>) -> Answer {
    asked.query.only(&["before", "limit"])?;
    let made = asked.store.flow_cancellations(asked.query.get("before"), asked.query.limit()?).await?;
    asked.answer(made.iter().map(|made| Made::of(&made.cancellation, made.runs, false)).collect::<Vec<_>>())
}

pub(super) async fn make(asked: &Asked<'_>) -> Answer {
    asked.query.only(&[])?;
    let body: Body = asked.document()?;
    if body.function.is_empty() {
        return Err(Refusal::of_request("function is empty; name the function whose runs are to be called off"));
    }
    if body.function.contains('\0') || body.event_id.as_ref().is_some_and(|id| id.contains('\0')) {
        return Err(Refusal::of_request(NUL));
    }
    let cancellation = Cancellation {
        id: ulid(asked.now),
        function: body.function,
        event_id: body.event_id,
        created_after: body.started_after,
        // Runs that start while this works are not meant, and without a bound it might never end.
        created_before: body.started_before.unwrap_or(asked.now).min(asked.now),
        reason: reason(body.reason.as_deref(), "called off over HTTP, with others")?,
        requested_at: asked.now,
    };
    if body.dry_run {
        let runs = asked.store.cancellable_flow_runs(&cancellation).await?;
        return asked.answer(Made::of(&cancellation, runs, true));
    }
    let runs = asked.store.cancel_all_flow_runs(&cancellation, asked.now).await?;
    asked.answer(Made::of(&cancellation, runs, false))
}
