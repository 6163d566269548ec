//! Everything the server serves.

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use axum::routing::{MethodFilter, on};
use http::{Method, StatusCode};

use crate::flow::Ask;
use crate::state::{Database, Deliveries, Shared};
use crate::sync::{Reads, Span};
use crate::{access, answer, flow, health, intake, metrics, sync, webhook};

/// A method that a route answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    /// GET, and HEAD with it.
    Get,
    /// POST.
    Post,
    /// DELETE.
    Delete,
}

impl Verb {
    fn filter(self) -> MethodFilter {
        match self {
            Self::Get => MethodFilter::GET,
            Self::Post => MethodFilter::POST,
            Self::Delete => MethodFilter::DELETE,
        }
    }
}

/// What a caller of a route must show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Nothing.
    Public,
    /// A webhook signature over the body, which the handler verifies.
    Signature,
    /// The API key.
    ApiKey,
    /// The API key; who lacks it is told so in the words of workflow servers.
    FlowKey,
    /// An event key in the path, which the handler verifies.
    EventKey,
    /// The API key, unless the metrics are configured to be open.
    Metrics,
}

impl Access {
    /// What a caller reads who is turned away.
    fn refusal(self) -> &'static str {
        match self {
            Self::FlowKey => "Authentication failed",
            Self::Public | Self::Signature | Self::EventKey | Self::ApiKey | Self::Metrics => "Unauthorized",
        }
    }
}

/// A line of the table.
#[derive(Debug, Clone, Copy)]
pub struct Route {
    /// Path; `{id}` stands for one segment of any text.
    pub path: &'static str,
    /// Method.
    pub verb: Verb,
    /// What a caller must show.
    pub access: Access,
    handler: Handler,
}

#[derive(Debug, Clone, Copy)]
enum Handler {
    Webhook,
    Health,
    Live,
    Ready,
    Metrics,
    Sync(Span),
    SyncSingle,
    SyncRuns,
    Flow(Ask),
    Events,
}

const fn route(path: &'static str, verb: Verb, access: Access, handler: Handler) -> Route {
    Route { path, verb, access, handler }
}

/// The windows that the existing engines have paths for. The daily one answers without counts there.
const DAILY: Handler = Handler::Sync(Span::Days { days: 1, counts: false });
const WEEKLY: Handler = Handler::Sync(Span::Days { days: 7, counts: true });
const MONTHLY: Handler = Handler::Sync(Span::Days { days: 30, counts: true });

/// All routes of the main listener. What is not here is answered 404, or 405 when only the method is another one.
pub static ROUTES: [Route; 35] = [
    route("/webhooks", Verb::Post, Access::Signature, Handler::Webhook),
    route("/api/webhooks/stripe", Verb::Post, Access::Signature, Handler::Webhook),
    route("/health", Verb::Get, Access::Public, Handler::Health),
    route("/api/health", Verb::Get, Access::Public, Handler::Health),
    route("/healthz", Verb::Get, Access::Public, Handler::Live),
    route("/readyz", Verb::Get, Access::Public, Handler::Ready),
    route("/metrics", Verb::Get, Access::Metrics, Handler::Metrics),
    route("/sync", Verb::Post, Access::ApiKey, Handler::Sync(Span::Body)),
    route("/sync/daily", Verb::Post, Access::ApiKey, DAILY),
    route("/sync/weekly", Verb::Post, Access::ApiKey, WEEKLY),
    route("/sync/monthly", Verb::Post, Access::ApiKey, MONTHLY),
    route("/sync/single/{id}", Verb::Post, Access::ApiKey, Handler::SyncSingle),
    route("/sync/runs", Verb::Get, Access::ApiKey, Handler::SyncRuns),
    route("/api/sync", Verb::Post, Access::ApiKey, Handler::Sync(Span::Body)),
    route("/api/sync/daily", Verb::Post, Access::ApiKey, DAILY),
    route("/api/sync/weekly", Verb::Post, Access::ApiKey, WEEKLY),
    route("/api/sync/monthly", Verb::Post, Access::ApiKey, MONTHLY),
    route("/api/sync/single/{id}", Verb::Post, Access::ApiKey, Handler::SyncSingle),
    route("/api/sync/runs", Verb::Get, Access::ApiKey, Handler::SyncRuns),
    route("/e/{key}", Verb::Post, Access::EventKey, Handler::Events),
    route("/v1/events", Verb::Get, Access::FlowKey, Handler::Flow(Ask::Events)),
    route("/v1/events/{id}", Verb::Get, Access::FlowKey, Handler::Flow(Ask::Event)),
    route("/v1/events/{id}/runs", Verb::Get, Access::FlowKey, Handler::Flow(Ask::EventRuns)),
    route("/v1/runs", Verb::Get, Access::FlowKey, Handler::Flow(Ask::Runs)),
    route("/v1/runs/{id}", Verb::Get, Access::FlowKey, Handler::Flow(Ask::Run)),
    route("/v1/runs/{id}", Verb::Delete, Access::FlowKey, Handler::Flow(Ask::Cancel)),
    route("/v1/runs/{id}/jobs", Verb::Get, Access::FlowKey, Handler::Flow(Ask::Steps)),
    route("/v1/runs/{id}/retry", Verb::Post, Access::FlowKey, Handler::Flow(Ask::Retry)),
    route("/v1/runs/{id}/rerun", Verb::Post, Access::FlowKey, Handler::Flow(Ask::Rerun)),
    route("/v1/runs/{id}/resolve", Verb::Post, Access::FlowKey, Handler::Flow(Ask::Resolve)),
    route("/v1/cancellations", Verb::Get, Access::FlowKey, Handler::Flow(Ask::Cancellations)),
    route("/v1/cancellations", Verb::Post, Access::FlowKey, Handler::Flow(Ask::CancelMany)),
    route("/v1/signals", Verb::Post, Access::FlowKey, Handler::Flow(Ask::Signal)),
    route("/test/clock", Verb::Get, Access::FlowKey, Handler::Flow(Ask::Clock)),
    route("/test/clock", Verb::Post, Access::FlowKey, Handler::Flow(Ask::MoveClock)),
];

/// All routes of a listener that serves nothing but metrics.
pub static METRICS_ROUTES: [Route; 2] = [
    route("/metrics", Verb::Get, Access::Public, Handler::Metrics),
    route("/healthz", Verb::Get, Access::Public, Handler::Live),
];

/// Makes the router of a table.
pub(crate) fn router<D: Deliveries, S: Database, R: Reads>(
    routes: &'static [Route],
    shared: Arc<Shared<D, S, R>>,
) -> Router {
    let mut router = Router::new();
    for route in routes {
        let shared = Arc::clone(&shared);
        let handler = move |request: Request| dispatch(route, Arc::clone(&shared), request);
        router = router.route(route.path, on(route.verb.filter(), handler));
    }
    router.method_not_allowed_fallback(method_not_allowed).fallback(not_found)
}

/// Checks access and answers. No handler runs before its line of the table was satisfied.
async fn dispatch<D: Deliveries, S: Database, R: Reads>(
    route: &'static Route,
    shared: Arc<Shared<D, S, R>>,
    request: Request,
) -> Response {
    let method = request.method().clone();
    let response = if !is_granted(route.access, &shared, &request) {
        answer::text(StatusCode::UNAUTHORIZED, route.access.refusal())
    } else {
        match route.handler {
            Handler::Webhook => webhook::receive(&shared, request).await,
            Handler::Health => health::contract(shared.state.clock.now()),
            Handler::Live => answer::text(StatusCode::OK, "ok"),
            Handler::Ready => shared.readiness.answer(&shared.state.ingest, &shared.state.store).await,
            Handler::Metrics => metrics::answer(&shared.state.metrics),
            Handler::Sync(span) => sync::run(&shared, span, request).await,
            Handler::SyncSingle => sync::single(&shared, request).await,
            Handler::SyncRuns => sync::runs(&shared).await,
            Handler::Flow(ask) => flow::answer(&shared, ask, request).await,
            Handler::Events => intake::receive(&shared, request).await,
        }
    };
    log(&method, route.path, &response);
    response
}

fn is_granted<D, S, R>(access: Access, shared: &Shared<D, S, R>, request: &Request) -> bool {
    let has_key = || access::has_api_key(request.headers(), shared.state.api_key.as_ref());
    match access {
        Access::Public | Access::Signature | Access::EventKey => true,
        Access::ApiKey | Access::FlowKey => has_key(),
        Access::Metrics => shared.state.metrics_open || has_key(),
    }
}

async fn not_found(method: Method) -> Response {
    let response = answer::text(StatusCode::NOT_FOUND, "Not Found");
    log(&method, "unknown", &response);
    response
}

async fn method_not_allowed(method: Method) -> Response {
    let response = answer::text(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
    log(&method, "other method", &response);
    response
}

/// The path is the table's, never the caller's, who may have put anything into it.
fn log(method: &Method, path: &'static str, response: &Response) {
    tracing::debug!(%method, path, status = response.status().as_u16(), "answered");
}
