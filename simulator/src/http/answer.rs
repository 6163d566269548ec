//! An answer before it is sent.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, DATE, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimePrinter;

use super::body::AnswerBody;
use crate::account::to_bytes;
use crate::error::ApiError;

/// Status, headers and complete body.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: Bytes,
}

impl Answer {
    /// 200 with JSON.
    pub(super) fn ok(body: Bytes) -> Self {
        Self { status: 200, headers: Vec::new(), body }
    }

    /// An error in Stripe's shape.
    pub(super) fn error(error: &ApiError) -> Self {
        Self { status: error.status, headers: Vec::new(), body: to_bytes(&error.body()) }
    }

    /// 429 as Stripe gives it.
    pub(super) fn rate_limited(reason: Option<&str>, retry_after: Option<u32>) -> Self {
        let error = ApiError {
            status: 429,
            code: Some("rate_limit".to_owned()),
            ..ApiError::invalid("Request rate limit exceeded. Retry later, with a growing and random wait.")
        };
        let mut answer = Self::error(&error);
        answer.headers.extend(reason.map(|reason| ("stripe-rate-limited-reason", reason.to_owned())));
        answer.headers.extend(retry_after.map(|seconds| ("retry-after", seconds.to_string())));
        answer
    }

    /// Sets a header, replacing one of the same name.
    pub(super) fn set(&mut self, name: &'static str, value: String) {
        self.headers.retain(|(other, _)| *other != name);
        self.headers.push((name, value));
    }

    /// The response with a body that may differ from the complete one.
    pub(super) fn into_response(self, body: AnswerBody) -> Response<AnswerBody> {
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        for (name, value) in self.headers {
            // What cannot be a header value is left out: it came from the caller.
            if let Ok(value) = HeaderValue::from_str(&value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        }
        response
    }
}

/// A `Date` header's value.
pub(super) fn date(now: i64) -> (&'static str, String) {
    let at = Timestamp::from_second(now).unwrap_or_default();
    (DATE_NAME, DateTimePrinter::new().timestamp_to_rfc9110_string(&at).unwrap_or_default())
}

const DATE_NAME: &str = "date";
const _: HeaderName = DATE;
