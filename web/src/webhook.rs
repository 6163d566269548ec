//! The webhook endpoints.

use std::time::Duration;

use axum::extract::Request;
use axum::response::Response;
use billhook_core::metrics::Outcome;
use billhook_mirror::{Receipt, Refusal};
use http::{HeaderMap, StatusCode, Version};
use tokio::time::timeout;

use crate::answer;
use crate::body::{self, BodyError};
use crate::state::{Deliveries, Shared};

const SIGNATURE_HEADER: &str = "stripe-signature";

/// The one answer to everything that is not an authentic delivery. Which check failed would help only a forger.
const NOT_AUTHENTIC: &str = "Webhook Error: the signature could not be verified";

/// What became of a delivery; each has its name in the metrics and its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Received(Receipt),
    Refused(Refusal),
    Unread(BodyError),
}

/// Takes one delivery: reads the raw bytes, whatever their encoding says, and passes them on for verification.
pub(crate) async fn receive<D: Deliveries, S, R>(shared: &Shared<D, S, R>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let fate = match body::read(body, &shared.limits, &shared.bodies).await {
        Err(error) => Fate::Unread(error),
        Ok(whole) => {
            let verdict = shared.state.ingest.receive(only_signature(&head.headers), whole.bytes);
            let verdict = timeout(Duration::from_millis(shared.limits.request_deadline_ms), verdict).await;
            drop(whole.room);
            match verdict {
                Ok(Ok(receipt)) => Fate::Received(receipt),
                Ok(Err(refusal)) => Fate::Refused(refusal),
                Err(_) => Fate::Refused(Refusal::Unavailable),
            }
        }
    };
    shared.state.metrics.deliveries.get_or_create(&Outcome { outcome: fate.outcome() }).inc();
    fate.answer(head.version)
}

/// The signature header, when there is exactly one and it is text.
fn only_signature(headers: &HeaderMap) -> Option<&str> {
    let mut values = headers.get_all(SIGNATURE_HEADER).iter();
    match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok(),
        _ => None,
    }
}

impl Fate {
    fn outcome(self) -> &'static str {
        match self {
            Self::Received(Receipt::Accepted) => "accepted",
            Self::Received(Receipt::Duplicate) => "duplicate",
            Self::Refused(Refusal::BadSignature) => "bad_signature",
            Self::Refused(Refusal::Overloaded) | Self::Unread(BodyError::NoRoom) => "overloaded",
            Self::Refused(Refusal::Unavailable) => "unavailable",
            Self::Unread(BodyError::TooLarge) => "too_large",
            Self::Unread(BodyError::Late) => "timeout",
            Self::Unread(BodyError::Broken) => "broken_off",
        }
    }

    fn answer(self, version: Version) -> Response {
        match self {
            Self::Received(_) => answer::json(r#"{"received":true}"#),
            Self::Refused(Refusal::BadSignature) => answer::text(StatusCode::BAD_REQUEST, NOT_AUTHENTIC),
            Self::Refused(Refusal::Overloaded) => answer::unavailable("too much is waiting; try again later"),
            Self::Refused(Refusal::Unavailable) => answer::unavailable("the database is away; try again later"),
            Self::Unread(error) => answer::closing(unread(error), version),
        }
    }
}

fn unread(error: BodyError) -> Response {
    match error {
        BodyError::TooLarge => answer::text(StatusCode::PAYLOAD_TOO_LARGE, "Payload Too Large"),
        BodyError::Late => answer::text(StatusCode::REQUEST_TIMEOUT, "Request Timeout"),
        BodyError::Broken => answer::text(StatusCode::BAD_REQUEST, "Bad Request"),
        BodyError::NoRoom => answer::unavailable("too much is waiting; try again later"),
    }
}
