//! The endpoints that read from Stripe on request: `/sync`, its windows, `/sync/single/{id}`, `/sync/runs`.
//!
//! Paths, bodies and answers are those of the existing engines. The work is a durable run of the mirror: it goes on when the
//! caller leaves, and a second caller joins it.

use std::fmt::Write as _;
use std::future::Future;

use axum::RequestExt as _;
use axum::extract::{Path, Request};
use axum::response::Response;
use billhook_mirror::sync::{CreatedFilter, Window};
use billhook_store::RunSummary;
use http::{HeaderValue, StatusCode};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::answer;
use crate::body::{self, BodyError};
use crate::state::Shared;

/// Seconds in a day.
const DAY_SECONDS: i64 = 86_400;

/// Runs that `GET /sync/runs` shows: two of every kind.
const RUNS_SHOWN_MAX: usize = 400;

/// What is asked to be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyncRequest {
    /// A kind in the words of the existing engines or of Stripe; `all` for the kinds of the existing engines.
    pub object: String,
    /// Which of its objects.
    pub window: Window,
    /// Whether objects that are referred to and missing are read too; `None` is as configured.
    pub related: Option<bool>,
}

/// What a finished request has read: for each kind its key in the answer and the number of objects.
pub type Synced = Vec<(String, u64)>;

/// What reading one object gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Single {
    /// The object as it is now stored, JSON.
    Stored(String),
    /// The id begins like those of no kind.
    UnknownPrefix,
}

/// Why nothing, or not everything, was read. Each carries a sentence for the caller.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SyncError {
    /// The request is wrong.
    Refused(String),
    /// Stripe does not know the object.
    NotFound(String),
    /// It cannot be done now: no key, a paused key, the database is away.
    Unavailable(String),
    /// It was tried and failed.
    Failed(String),
}

/// Reads from Stripe. A trait so that the server can be tested without it.
pub trait Reads: Send + Sync + 'static {
    /// Starts the runs of a request, or joins those that are open, and waits for their end.
    fn sync(&self, request: SyncRequest) -> impl Future<Output = Result<Synced, SyncError>> + Send;

    /// Starts the runs of a request, or joins those that are open, and names them.
    fn start(&self, request: SyncRequest) -> impl Future<Output = Result<Vec<i64>, SyncError>> + Send;

    /// Reads one object, of the kind that is named or that its id tells.
    fn single(&self, id: &str, kind: Option<&str>) -> impl Future<Output = Result<Single, SyncError>> + Send;

    /// The latest runs, at most `limit`.
    fn runs(&self, limit: usize) -> impl Future<Output = Result<Vec<RunSummary>, SyncError>> + Send;
}

/// Which window of `created` a route means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Span {
    /// As the body says.
    Body,
    /// The last so many days. Without counts in the answer where the existing engines give none.
    Days { days: i64, counts: bool },
}

/// The body of `/sync` and its windows.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Body {
    object: Option<String>,
    created: Option<Created>,
    backfill_related_entities: Option<bool>,
}

/// A range of `created` as Stripe writes it, in Unix seconds.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Created {
    gt: Option<i64>,
    gte: Option<i64>,
    lt: Option<i64>,
    lte: Option<i64>,
}

impl From<Created> for Window {
    fn from(created: Created) -> Self {
        let Created { gt, gte, lt, lte } = created;
        CreatedFilter { gt, gte, lt, lte }.into()
    }
}

/// `POST /sync` and its windows.
pub(crate) async fn run<D, S, R: Reads>(shared: &Shared<D, S, R>, span: Span, request: Request) -> Response {
    let wait = !has_parameter(request.uri().query(), "wait", "false");
    let version = request.version();
    let whole = match body::read(request.into_body(), &shared.limits, &shared.bodies).await {
        Ok(whole) => whole,
        Err(error) => return answer::closing(unread(error), version),
    };
    let now = shared.state.clock.now();
    let asked = match asked_for(&whole.bytes, span, now) {
        Ok(asked) => asked,
        Err(message) => return refusal(StatusCode::BAD_REQUEST, &message),
    };
    drop(whole);
    let outcome = if wait {
        shared.state.reads.sync(asked).await.map(|synced| done(shared.state.clock.now(), span, &synced))
    } else {
        shared.state.reads.start(asked).await.map(|runs| started(now, &runs))
    };
    outcome.unwrap_or_else(|error| failure(&error))
}

fn asked_for(bytes: &[u8], span: Span, now: Timestamp) -> Result<SyncRequest, String> {
    let body = if bytes.trim_ascii().is_empty() {
        Body::default()
    } else {
        serde_json::from_slice::<Body>(bytes).map_err(|error| format!("the body is no such JSON: {error}"))?
    };
    let window = match (span, body.created) {
        (Span::Body, created) => created.map_or_else(Window::default, Window::from),
        (Span::Days { .. }, Some(_)) => return Err("this path has a window of its own; use /sync with created".into()),
        (Span::Days { days, .. }, None) => Window::since(now.as_second() - days * DAY_SECONDS),
    };
    let object = body.object.unwrap_or_else(|| "all".to_owned());
    Ok(SyncRequest { object, window, related: body.backfill_related_entities })
}

fn done(now: Timestamp, span: Span, synced: &Synced) -> Response {
    let mut text = format!(r#"{{"statusCode":200,"ts":{}"#, now.as_millisecond());
    if !matches!(span, Span::Days { counts: false, .. }) {
        for (key, count) in synced {
            // Writing into a string cannot fail.
            let _ = write!(text, r#","{key}":{{"synced":{count}}}"#);
        }
    }
    text.push('}');
    answer::json(text)
}

fn started(now: Timestamp, runs: &[i64]) -> Response {
    let mut response = answer::json(format!(r#"{{"statusCode":202,"ts":{},"runs":{runs:?}}}"#, now.as_millisecond()));
    *response.status_mut() = StatusCode::ACCEPTED;
    response
}

/// `POST /sync/single/{id}`.
pub(crate) async fn single<D, S, R: Reads>(shared: &Shared<D, S, R>, mut request: Request) -> Response {
    let Ok(Path(id)) = request.extract_parts::<Path<String>>().await else {
        return refusal(StatusCode::BAD_REQUEST, "the id in the path is not UTF-8 text");
    };
    let kind = parameter(request.uri().query(), "object").map(str::to_owned);
    let ts = shared.state.clock.now().as_millisecond();
    match shared.state.reads.single(&id, kind.as_deref()).await {
        Ok(Single::Stored(object)) => answer::json(format!(r#"{{"statusCode":200,"ts":{ts},"data":[{object}]}}"#)),
        // The existing engines answer 200 without `data`; the sentence beside it is for whoever wonders.
        Ok(Single::UnknownPrefix) => answer::json(format!(
            r#"{{"statusCode":200,"ts":{ts},"message":"nothing was read: the id begins like those of no kind; name its kind, e.g. ?object=coupon"}}"#
        )),
        Err(error) => failure(&error),
    }
}

/// A run in `GET /sync/runs`.
#[derive(Debug, Serialize)]
struct Run<'a> {
    id: i64,
    object: &'a str,
    trigger: &'a str,
    state: &'static str,
    created_gte: Option<i64>,
    created_lt: Option<i64>,
    requested_at: String,
    finished_at: Option<String>,
    objects: u64,
    requests: u64,
    segments_open: u64,
    segments_all: u64,
    message: &'a str,
}

impl<'a> From<&'a RunSummary> for Run<'a> {
    fn from(run: &'a RunSummary) -> Self {
        Self {
            id: run.id,
            object: &run.object,
            trigger: &run.trigger,
            state: run.state(),
            created_gte: run.created_gte,
            created_lt: run.created_lt,
            requested_at: run.requested_at.to_string(),
            finished_at: run.finished_at.map(|at| at.to_string()),
            objects: run.objects,
            requests: run.requests,
            segments_open: run.segments_open,
            segments_all: run.segments_all,
            message: &run.message,
        }
    }
}

/// `GET /sync/runs`: the latest runs, newest first.
pub(crate) async fn runs<D, S, R: Reads>(shared: &Shared<D, S, R>) -> Response {
    let ts = shared.state.clock.now().as_millisecond();
    match shared.state.reads.runs(RUNS_SHOWN_MAX).await {
        Err(error) => failure(&error),
        Ok(runs) => {
            let runs: Vec<Run<'_>> = runs.iter().map(Run::from).collect();
            let document = serde_json::json!({ "statusCode": 200, "ts": ts, "runs": runs });
            answer::json(document.to_string())
        }
    }
}

fn failure(error: &SyncError) -> Response {
    match error {
        SyncError::Refused(message) => refusal(StatusCode::BAD_REQUEST, message),
        SyncError::NotFound(message) => refusal(StatusCode::NOT_FOUND, message),
        SyncError::Unavailable(message) => refusal(StatusCode::SERVICE_UNAVAILABLE, message),
        SyncError::Failed(message) => refusal(StatusCode::INTERNAL_SERVER_ERROR, message),
    }
}

fn unread(error: BodyError) -> Response {
    match error {
        BodyError::TooLarge => refusal(StatusCode::PAYLOAD_TOO_LARGE, "the body is too large"),
        BodyError::Late => refusal(StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time"),
        BodyError::Broken => refusal(StatusCode::BAD_REQUEST, "the body broke off"),
        BodyError::NoRoom => refusal(StatusCode::SERVICE_UNAVAILABLE, "too much is waiting; try again later"),
    }
}

/// An error as the existing engines' framework writes it.
fn refusal(status: StatusCode, message: &str) -> Response {
    let error = status.canonical_reason().unwrap_or("Error");
    let document = serde_json::json!({ "statusCode": status.as_u16(), "error": error, "message": message });
    let json = HeaderValue::from_static("application/json");
    answer::with_type(status, json, document.to_string().into())
}

/// The value of a query parameter. Kinds and the words that are asked for need no decoding.
fn parameter<'a>(query: Option<&'a str>, name: &str) -> Option<&'a str> {
    query?.split('&').filter_map(|pair| pair.split_once('=')).find(|(key, _)| *key == name).map(|(_, value)| value)
}

fn has_parameter(query: Option<&str>, name: &str, value: &str) -> bool {
    parameter(query, name) == Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_700_000_000;

    fn asked(body: &str, span: Span) -> Result<SyncRequest, String> {
        asked_for(body.as_bytes(), span, Timestamp::from_second(NOW).expect("a time"))
    }

    #[test]
    fn an_absent_body_asks_for_everything() {
        for body in ["", " \n", "{}"] {
            let all = asked(body, Span::Body).expect(body);
            assert_eq!(all, SyncRequest { object: "all".to_owned(), window: Window::default(), related: None });
        }
    }

    #[test]
    fn ranges_become_half_open() {
        let range = |created: &str| {
            let body = format!(r#"{{"object":"charge","created":{created}}}"#);
            asked(&body, Span::Body).map(|asked| (asked.window.gte, asked.window.lt))
        };
        assert_eq!(range(r#"{"gte":5}"#), Ok((Some(5), None)));
        assert_eq!(range(r#"{"gt":5,"gte":3,"lt":20,"lte":9}"#), Ok((Some(6), Some(10))));
        assert_eq!(range("null"), Ok((None, None)));
        assert!(range(r#"{"since":5}"#).is_err());
    }

    #[test]
    fn a_span_reaches_back_from_now() {
        let week = Span::Days { days: 7, counts: true };
        assert_eq!(asked("{}", week).expect("a week").window, Window::since(NOW - 7 * DAY_SECONDS));
        assert!(asked(r#"{"created":{"gte":1}}"#, week).is_err());
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for body in ["{", "[]", "1", r#"{"objects":"charge"}"#, r#"{"object":5}"#, r#"{"created":{"gte":"5"}}"#] {
            assert!(asked(body, Span::Body).is_err(), "{body}");
        }
    }
}
