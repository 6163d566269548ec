//! Answers: fixed short texts, and the headers every answer carries.

use axum::body::Body;
use axum::response::Response;
use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS};
use http::{HeaderValue, StatusCode, Version};

/// Seconds after which a refused sender should try again. Stripe follows its own schedule; other senders follow this.
const RETRY_AFTER_SECONDS: u16 = 5;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A short text.
pub(crate) fn text(status: StatusCode, text: &'static str) -> Response {
    with_type(status, TEXT, Body::from(text))
}

/// A JSON document.
pub(crate) fn json(document: impl Into<Body>) -> Response {
    with_type(StatusCode::OK, JSON, document.into())
}

/// A 503 that says when to come back.
pub(crate) fn unavailable(reason: &'static str) -> Response {
    let mut response = text(StatusCode::SERVICE_UNAVAILABLE, reason);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(RETRY_AFTER_SECONDS));
    response
}

/// Makes the connection end after this answer: its body was not read to the end, so what follows on it is not a request.
pub(crate) fn closing(mut response: Response, version: Version) -> Response {
    // HTTP/2 has no such header: there only the stream ends.
    if version < Version::HTTP_2 {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// An answer of any media type.
pub(crate) fn with_type(status: StatusCode, media_type: HeaderValue, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, media_type);
    response
}

/// Adds what every answer carries: browsers must not guess its type, and nobody may keep it.
pub(crate) fn harden<B>(mut response: http::Response<B>) -> http::Response<B> {
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
