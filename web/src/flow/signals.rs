//! `/v1/signals`: a message for the runs that wait for it.

use std::sync::Arc;

use billhook_flow::engine::{Matcher, Publish, signal};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Asked, Refusal};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Body {
    signal: String,
    #[serde(default)]
    data: Value,
}

/// Names the run that was woken, the first of them if several waited.
pub(super) async fn send(asked: &Asked<'_>) -> Answer {
    asked.query.only(&[])?;
    let Body { signal: name, data } = asked.document()?;
    if name.is_empty() || name.contains('\0') {
        return Err(Refusal::of_request("the signal has no name; send {\"signal\": \"…\", \"data\": …}"));
    }
    let publications = vec![signal(&name, data, asked.now)];
    let publish = Publish { publications, matcher: Arc::new(Matcher), now: asked.now };
    let published = asked.store.transact(publish).await?;
    let run = published.iter().flat_map(|one| &one.woken).min();
    match run {
        Some(run) => asked.answer(json!({ "run_id": run })),
        None => Err(Refusal::new(StatusCode::NOT_FOUND, format!("no run waits for the signal {name}"))),
    }
}
