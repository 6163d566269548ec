//! What faults do to an answer.

use std::collections::VecDeque;

use bytes::Bytes;
use http::Response;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE, HeaderValue};

use super::answer::Answer;
use super::body::AnswerBody;
use super::gzip;
use crate::error::ApiError;
use crate::faults::ApiFault;

/// Size of the parts of a large body, in bytes.
const PART_BYTES: usize = 64 * 1024;

/// The answer of faults that come before anything is looked at.
pub(super) fn instead(faults: &[ApiFault]) -> Option<Answer> {
    faults.iter().find_map(|fault| match fault {
        ApiFault::RateLimited { retry_after, reason } => Some(Answer::rate_limited(reason.as_deref(), *retry_after)),
        ApiFault::Status { status, should_retry } => {
            let message = "Something went wrong on the side of Stripe. It was asked for by a fault of the simulator.";
            let error = ApiError { status: *status, kind: "api_error", ..ApiError::invalid(message) };
            let mut answer = Answer::error(&error);
            answer.headers.extend(should_retry.map(|retry| ("stripe-should-retry", retry.to_string())));
            Some(answer)
        }
        ApiFault::Refused { status, message } => {
            Some(Answer::error(&ApiError { status: *status, ..ApiError::invalid(message.clone()) }))
        }
        _ => None,
    })
}

/// Sends an answer as the faults want it.
pub(super) fn send(mut answer: Answer, faults: &[ApiFault]) -> Response<AnswerBody> {
    let body = answer.body.clone();
    for fault in faults {
        match fault {
            ApiFault::HalfJson => {
                answer.body = body.slice(..body.len() / 2);
            }
            ApiFault::Cut => return answer.into_response(AnswerBody::cut(&body)),
            ApiFault::Drip { bytes_per_second } => {
                return answer.into_response(AnswerBody::drip(body, *bytes_per_second));
            }
            ApiFault::GzipBomb { bytes } => {
                let mut response = answer.into_response(AnswerBody::whole(Bytes::from(gzip::bomb(*bytes))));
                response.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                return response;
            }
            ApiFault::Html => {
                let page = "<!DOCTYPE html><html><head><title>Welcome</title></head><body>Sign in to use this network.</body></html>";
                answer.status = 200;
                let mut response = answer.into_response(AnswerBody::whole(Bytes::from_static(page.as_bytes())));
                response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
                return response;
            }
            ApiFault::HugePage { bytes } => return answer.into_response(AnswerBody::parts(padded(&body, *bytes))),
            _ => {}
        }
    }
    let body = answer.body.clone();
    answer.into_response(AnswerBody::whole(body))
}

/// The same JSON with spaces before its last bracket, up to a size.
fn padded(body: &Bytes, size: usize) -> VecDeque<Bytes> {
    let last = body.len().saturating_sub(1);
    let spaces = Bytes::from(vec![b' '; PART_BYTES]);
    let mut parts = VecDeque::from([body.slice(..last)]);
    let mut left = size.saturating_sub(body.len());
    while left > 0 {
        let part = left.min(PART_BYTES);
        parts.push_back(spaces.slice(..part));
        left -= part;
    }
    parts.push_back(body.slice(last..));
    parts
}
