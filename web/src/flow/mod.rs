//! `/v1`: looking at events and runs of durable functions, and steering runs.
//!
//! Answers are `{data, metadata: {fetched_at}}`, errors `{data: null, error, status}`. What an order means for a run is decided by the
//! store, in one transaction; here it is only asked for.

mod cancellations;
mod clock;
mod events;
mod orders;
mod query;
mod runs;
mod signals;

use axum::RequestExt as _;
use axum::extract::{Path, Request};
use axum::response::Response;
use billhook_flow::test_clock::ClockControl;
use billhook_store::{Store, StoreError};
use http::{HeaderValue, StatusCode, Version};
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use self::query::Query;
use crate::answer;
use crate::body::{self, BodyError};
use crate::state::Shared;

/// Most characters of a reason that is given for an order; it is shown in lists.
const REASON_CHARACTERS_MAX: usize = 1_000;

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ask {
    /// Events, newest first.
    Events,
    /// One event.
    Event,
    /// The runs that an event started.
    EventRuns,
    /// Runs, newest first.
    Runs,
    /// One run.
    Run,
    /// What is recorded of a run's steps.
    Steps,
    /// Call a run off.
    Cancel,
    /// Let a run go on from what failed.
    Retry,
    /// Start a run once more from scratch.
    Rerun,
    /// End a run with a given result.
    Resolve,
    /// Cancellations of many runs.
    Cancellations,
    /// Call many runs off.
    CancelMany,
    /// Tell the runs that wait for it.
    Signal,
    /// The time of functions.
    Clock,
    /// Move the time of functions.
    MoveClock,
}

impl Ask {
    /// Whether runs may be due afterwards that an engine has to find, be it because another one has left them its place.
    fn lets_runs_go_on(self) -> bool {
        matches!(self, Self::Cancel | Self::Retry | Self::Rerun | Self::CancelMany | Self::Signal)
    }
}

/// What a handler works with.
struct Asked<'a> {
    store: &'a Store,
    /// What moves the time of functions, where that may be done.
    clock: Option<&'a ClockControl>,
    /// The time of functions.
    now: Timestamp,
    /// The id in the path; empty where the path has none.
    id: &'a str,
    query: &'a Query,
    body: &'a [u8],
}

/// Why there is no answer, with a sentence for the caller.
#[derive(Debug)]
struct Refusal {
    status: StatusCode,
    message: String,
}

impl Refusal {
    fn new(status: StatusCode, message: impl Into<String>) -> Self {
        Self { status, message: message.into() }
    }

    fn of_request(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message)
    }

    fn response(self) -> Response {
        let document =
            serde_json::json!({ "data": null, "error": self.message, "status": self.status.as_u16() }).to_string();
        answer::with_type(self.status, HeaderValue::from_static("application/json"), document.into())
    }
}

impl From<StoreError> for Refusal {
    fn from(error: StoreError) -> Self {
        let status =
            if error.is_transient() { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::INTERNAL_SERVER_ERROR };
        // The database's own words may name hosts; they belong into the log.
        tracing::warn!(%error, "a request about runs failed");
        Self::new(status, "the database does not answer as it should; the server's log says why")
    }
}

/// An answer: its JSON.
type Answer = Result<String, Refusal>;

#[derive(Serialize)]
struct Envelope<T> {
    data: T,
    metadata: Metadata,
}

#[derive(Serialize)]
struct Metadata {
    fetched_at: String,
}

impl Asked<'_> {
    fn answer(&self, data: impl Serialize) -> Answer {
        let metadata = Metadata { fetched_at: self.now.to_string() };
        serde_json::to_string(&Envelope { data, metadata }).map_err(|error| {
            Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, format!("the answer cannot be written: {error}"))
        })
    }

    /// The body; an empty one counts as an object without fields.
    fn document<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        let text = self.body.trim_ascii();
        let text = if text.is_empty() { b"{}" } else { text };
        serde_json::from_slice(text)
            .map_err(|error| Refusal::of_request(format!("the body is not what this path takes: {error}")))
    }
}

/// Answers a request under `/v1`.
pub(crate) async fn answer<D, S, R>(shared: &Shared<D, S, R>, ask: Ask, mut request: Request) -> Response {
    let version = request.version();
    let id = match request.extract_parts::<Option<Path<String>>>().await {
        Ok(id) => id.map(|Path(id)| id).unwrap_or_default(),
        Err(_) => return Refusal::of_request("the id in the path is not UTF-8 text").response(),
    };
    if id.contains('\0') {
        return Refusal::of_request(query::NUL).response();
    }
    let Some(store) = &shared.state.flow else {
        return Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "this server keeps no runs").response();
    };
    let query = match Query::parse(request.uri().query().unwrap_or_default()) {
        Ok(query) => query,
        Err(message) => return Refusal::of_request(message).response(),
    };
    let whole = match body::read(request.into_body(), &shared.limits, &shared.bodies).await {
        Ok(whole) => whole,
        Err(error) => return unread(error, version),
    };
    // Runs live by the clock of functions, which may be another one than that of the server.
    let now = shared.state.events.as_ref().map_or_else(|| shared.state.clock.now(), |events| events.clock.now());
    let clock = shared.state.test_clock.as_ref();
    let asked = Asked { store, clock, now, id: &id, query: &query, body: &whole.bytes };
    let outcome = match ask {
        Ask::Events => events::list(&asked).await,
        Ask::Event => events::show(&asked).await,
        Ask::EventRuns => events::runs(&asked).await,
        Ask::Runs => runs::list(&asked).await,
        Ask::Run => runs::show(&asked).await,
        Ask::Steps => runs::steps(&asked).await,
        Ask::Cancel => orders::cancel(&asked).await,
        Ask::Retry => orders::retry(&asked).await,
        Ask::Rerun => orders::rerun(&asked).await,
        Ask::Resolve => orders::resolve(&asked).await,
        Ask::Cancellations => cancellations::list(&asked).await,
        Ask::CancelMany => cancellations::make(&asked).await,
        Ask::Signal => signals::send(&asked).await,
        Ask::Clock => clock::show(&asked).await,
        Ask::MoveClock => clock::set(&asked).await,
    };
    if ask.lets_runs_go_on() && outcome.is_ok() {
        let store = store.clone();
        // Nobody has to wait for it.
        tokio::spawn(async move { store.hint_flow_runs().await });
    }
    outcome.map_or_else(Refusal::response, answer::json)
}

/// The connection ends: what is left of the body would be taken for the next request.
fn unread(error: BodyError, version: Version) -> Response {
    let (status, message) = match error {
        BodyError::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "the body is too large"),
        BodyError::Late => (StatusCode::REQUEST_TIMEOUT, "the body did not arrive in time"),
        BodyError::Broken => (StatusCode::BAD_REQUEST, "the body broke off"),
        BodyError::NoRoom => (StatusCode::SERVICE_UNAVAILABLE, "too much is waiting; try again later"),
    };
    answer::closing(Refusal::new(status, message).response(), version)
}

/// A recorded document as it is, digit for digit; null when it is none.
fn raw(text: Option<&str>) -> Option<&RawValue> {
    text.and_then(|text| serde_json::from_str(text).ok())
}

fn text(time: Option<Timestamp>) -> Option<String> {
    time.map(|time| time.to_string())
}

/// A reason with a length that lists can show.
fn reason(given: Option<&str>, default: &str) -> Result<String, Refusal> {
    let reason = given.map(str::trim).filter(|reason| !reason.is_empty()).unwrap_or(default);
    if reason.chars().count() > REASON_CHARACTERS_MAX {
        return Err(Refusal::of_request(format!("a reason has at most {REASON_CHARACTERS_MAX} characters")));
    }
    Ok(reason.to_owned())
}

fn no_run(id: &str) -> Refusal {
    Refusal::new(StatusCode::NOT_FOUND, format!("there is no run {id}; GET /v1/runs shows what there is"))
}
