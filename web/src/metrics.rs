//! `/metrics`.

use axum::body::Body;
use axum::response::Response;
use billhook_core::metrics::Metrics;
use http::{HeaderValue, StatusCode};

use crate::answer;

const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

/// All metrics.
pub(crate) fn answer(metrics: &Metrics) -> Response {
    answer::with_type(StatusCode::OK, OPEN_METRICS, Body::from(metrics.encode()))
}
