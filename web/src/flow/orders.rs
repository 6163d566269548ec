//! `/v1/runs/{id}`, to steer.

use billhook_core::ulid::ulid;
use billhook_store::Verdict;
use http::StatusCode;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::{Answer, Asked, Refusal, no_run, reason};

/// Paths that take no body take an empty object as well.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Resolution {
    value: Box<RawValue>,
    reason: String,
}

/// The states that an order is for, for people.
const UNFINISHED: &str = "runs that have not ended are called off";
const FAILED_OR_PARKED: &str = "failed and parked runs are retried and resolved";
const OVER_OR_PARKED: &str = "runs that are over or parked are started again; cancel it first";

pub(super) async fn cancel(asked: &Asked<'_>) -> Answer {
    asked.query.only(&["reason"])?;
    let reason = reason(asked.query.get("reason"), "called off over HTTP")?;
    done(asked, asked.store.cancel_flow_run(asked.id, &reason, asked.now).await?, UNFINISHED, asked.id)
}

pub(super) async fn retry(asked: &Asked<'_>) -> Answer {
    asked.query.only(&[])?;
    asked.document::<Nothing>()?;
    done(asked, asked.store.retry_flow_run(asked.id, asked.now).await?, FAILED_OR_PARKED, asked.id)
}

pub(super) async fn rerun(asked: &Asked<'_>) -> Answer {
    asked.query.only(&[])?;
    asked.document::<Nothing>()?;
    let new_id = ulid(asked.now);
    done(asked, asked.store.rerun_flow_run(asked.id, &new_id, asked.now).await?, OVER_OR_PARKED, &new_id)
}

pub(super) async fn resolve(asked: &Asked<'_>) -> Answer {
    asked.query.only(&[])?;
    let Resolution { value, reason: given } = asked.document()?;
    let reason = reason(Some(&given), "")?;
    if reason.is_empty() {
        return Err(Refusal::of_request("the reason is empty; say who decided, and why"));
    }
    let verdict = asked.store.resolve_flow_run(asked.id, value.get(), &reason, asked.now).await?;
    done(asked, verdict, FAILED_OR_PARKED, asked.id)
}

/// Names the run that the order was about, or made.
fn done(asked: &Asked<'_>, verdict: Verdict, meant_for: &str, run: &str) -> Answer {
    match verdict {
        Verdict::Done => asked.answer(json!({ "run_id": run })),
        Verdict::NotFound => Err(no_run(asked.id)),
        Verdict::Illegal(state) => {
            let message = format!("the run {} is {}; only {meant_for}", asked.id, state.name());
            Err(Refusal::new(StatusCode::CONFLICT, message))
        }
        Verdict::Occupied(other) => {
            let message = format!(
                "the run {} has to be alone, and {other} has the same singleton key and has not ended; wait for its end or cancel it",
                asked.id
            );
            Err(Refusal::new(StatusCode::CONFLICT, message))
        }
    }
}
