//! `POST /e/{key}`: events of the user's.
//!
//! Answers have the form that the Inngest SDKs read: `{ids, status}`, and `error` when something is wrong.

use std::sync::Arc;

use axum::RequestExt as _;
use axum::extract::{Path, Request};
use axum::response::Response;
use billhook_core::Clock;
use billhook_flow::engine::{Matcher, Publish, handed_in};
use billhook_flow::intake;
use http::{HeaderValue, StatusCode};
use serde_json::{Value, json};

use crate::state::Shared;
use crate::{access, answer, body};

/// Where events go.
#[derive(Clone)]
pub struct EventIntake {
    /// The time of functions.
    pub clock: Arc<dyn Clock>,
    /// Tells whoever publishes events that some were written.
    pub written: Arc<dyn Fn() + Send + Sync>,
}

/// Takes events: all of them are durable when it answers, or none is taken.
pub(crate) async fn receive<D, S, R>(shared: &Shared<D, S, R>, mut request: Request) -> Response {
    let key = request.extract_parts::<Path<String>>().await.map(|Path(key)| key).unwrap_or_default();
    let Some(event_key) = &shared.state.event_key else {
        return refused(StatusCode::SERVICE_UNAVAILABLE, "no event key is configured; set functions.event_key");
    };
    if !access::is_key(key.as_bytes(), event_key) {
        let body = json!({ "status": 401, "message": "", "error": "Event key not found" });
        return document(StatusCode::UNAUTHORIZED, &body);
    }
    let (Some(store), Some(events)) = (&shared.state.flow, &shared.state.events) else {
        return refused(StatusCode::SERVICE_UNAVAILABLE, "this server takes no events");
    };
    let whole = match body::read(request.into_body(), &shared.limits, &shared.bodies).await {
        Ok(whole) => whole,
        Err(_) => return refused(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large, or did not come to its end"),
    };
    let now = events.clock.now();
    let read = match intake::read(&whole.bytes, now) {
        Ok(read) => read,
        Err(error) => return refused(StatusCode::BAD_REQUEST, &error.to_string()),
    };
    let ids: Vec<&str> = read.iter().map(|event| event.id.as_str()).collect();
    let publications = read.iter().map(|event| handed_in(event, now)).collect();
    if let Err(error) = store.transact(Publish { publications, matcher: Arc::new(Matcher), now }).await {
        // The database's own words may name hosts; they belong into the log.
        tracing::warn!(%error, "events could not be written");
        return refused(StatusCode::SERVICE_UNAVAILABLE, "the events could not be written; send them again");
    }
    (events.written)();
    document(StatusCode::OK, &json!({ "ids": ids, "status": 200 }))
}

fn refused(status: StatusCode, why: &str) -> Response {
    document(status, &json!({ "ids": [], "status": status.as_u16(), "error": why }))
}

fn document(status: StatusCode, body: &Value) -> Response {
    answer::with_type(status, HeaderValue::from_static("application/json"), body.to_string().into())
}
