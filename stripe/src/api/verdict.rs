//! What an answer means: done, again, or an error of a certain kind. Pure.

use std::borrow::Cow;
use std::time::Duration;

use billhook_core::redact::redact;
use jiff::Timestamp;
use reqwest::header::HeaderMap;
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::backoff::Failed;
use super::rate::Learned;
use super::transport::{Broken, Received};
use super::{ApiError, Failure};

/// Characters of Stripe's message that errors show.
const MESSAGE_CHARACTERS_MAX: usize = 500;

/// Characters of a code, a parameter or a request id that errors show.
const NAME_CHARACTERS_MAX: usize = 100;

/// Longest `Retry-After` that is obeyed, in seconds.
const RETRY_AFTER_SECONDS_MAX: u64 = 60;

/// The outcome of attempts that were turned away for their rate or number.
pub(super) const RATE_LIMITED: &str = "rate_limited";

/// Parts of messages, in lower case, by which Stripe says that the account does not have a product.
const NOT_AVAILABLE: [&str; 9] = [
    "forwarding requests",
    "only available in testmode",
    "not onboarded to treasury",
    "unrecognized request url",
    "accounts v2 is not enabled",
    "isn't available in test mode",
    "api surface is not enabled",
    "not set up to use issuing",
    "not set up to use identity",
];

/// What to do after an attempt.
#[derive(Debug)]
pub(super) enum Verdict {
    /// The answer is good.
    Done,
    /// Another attempt makes sense.
    Again {
        /// What to report when it was the last.
        error: ApiError,
        /// What decides about the pause before it.
        failed: Failed,
    },
    /// The key seems to be refused for everything.
    Key(Box<Failure>),
    /// That is how it is.
    Final(ApiError),
}

/// An attempt, judged.
#[derive(Debug)]
pub(super) struct Judged {
    pub(super) verdict: Verdict,
    /// For the limiter.
    pub(super) learned: Learned,
    /// For the metrics.
    pub(super) outcome: &'static str,
}

/// Judges a broken attempt.
pub(super) fn of_broken(broken: Broken, mut failure: Failure) -> Judged {
    let is_closed = matches!(broken, Broken::Closed(_));
    let (outcome, message) = match broken {
        Broken::Connect(why) => ("connection", format!("no connection: {why}")),
        Broken::Closed(why) => ("connection", format!("the connection broke: {why}")),
        Broken::Late(why) => ("timeout", why),
        Broken::Cut(why) => ("incomplete", format!("the answer broke off: {why}")),
        Broken::TooLarge => {
            failure.message = "the answer has more bytes than are read".to_owned();
            let verdict = Verdict::Final(ApiError::TooLarge(Box::new(failure)));
            return Judged { verdict, learned: Learned::Accepted, outcome: "too_large" };
        }
    };
    failure.message = bounded(&message, MESSAGE_CHARACTERS_MAX);
    let error = ApiError::Unavailable(Box::new(failure));
    let failed = Failed { retry_after: None, is_free: false, is_closed };
    let verdict = Verdict::Again { error, failed };
    Judged { verdict, learned: Learned::Nothing, outcome }
}

/// Judges an answer. `failure` names the request.
pub(super) fn of_received(received: &Received, mut failure: Failure) -> Judged {
    failure.status = Some(received.status);
    failure.request_id = request_id(&received.headers);
    failure.read_at = date(&received.headers).map(|date| received.read_at(date));
    match received.status {
        200..=299 => of_success(received, failure),
        300..=399 => of_redirect(received, failure),
        _ => of_error(received, failure),
    }
}

fn of_success(received: &Received, mut failure: Failure) -> Judged {
    let Err(flaw) = check_complete(&received.body) else {
        return Judged { verdict: Verdict::Done, learned: Learned::Accepted, outcome: "answered" };
    };
    let outcome = if matches!(flaw, Flaw::Cut) { "incomplete" } else { "unusable" };
    failure.message = flaw.to_string();
    let error = ApiError::Unavailable(Box::new(failure));
    let failed = Failed { retry_after: None, is_free: false, is_closed: false };
    let verdict = Verdict::Again { error, failed };
    Judged { verdict, learned: Learned::Nothing, outcome }
}

/// Why the body of a success is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum Flaw {
    #[error("the answer is only the beginning of a JSON document")]
    Cut,
    #[error(
        "the answer is no JSON object although its status is a success; something between here and Stripe answers in its place (a captive \
         portal, a proxy, a wrong base URL?)"
    )]
    Foreign,
}

/// Half a document is as bad as none. Everything Stripe answers is an object.
fn check_complete(body: &[u8]) -> Result<(), Flaw> {
    match body.iter().find(|byte| !byte.is_ascii_whitespace()) {
        None => return Err(Flaw::Cut),
        Some(b'{') => {}
        Some(_) => return Err(Flaw::Foreign),
    }
    serde_json::from_slice::<IgnoredAny>(body)
        .map(|_| ())
        .map_err(|error| if error.is_eof() { Flaw::Cut } else { Flaw::Foreign })
}

/// Following would give the key to whoever is named.
fn of_redirect(received: &Received, mut failure: Failure) -> Judged {
    let target = text(&received.headers, "location").and_then(|location| {
        let host = location.split_once("//")?.1.split(['/', '?', '#', '\\']).next()?;
        Some(host.rsplit('@').next().unwrap_or(host))
    });
    let target = target.map_or_else(|| "another path".to_owned(), |host| bounded(host, NAME_CHARACTERS_MAX));
    failure.message =
        format!("redirected to {target}, which Stripe never does; check the base URL and what is in between");
    Judged { verdict: Verdict::Final(unavailable(failure)), learned: Learned::Nothing, outcome: "redirected" }
}

/// `{"error": {…}}`.
#[derive(Debug, Default, Deserialize)]
struct ErrorBody<'a> {
    #[serde(borrow)]
    error: Option<StripeError<'a>>,
}

#[derive(Debug, Default, Deserialize)]
struct StripeError<'a> {
    #[serde(borrow, rename = "type", default)]
    kind: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    code: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    param: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    message: Option<Cow<'a, str>>,
}

fn of_error(received: &Received, mut failure: Failure) -> Judged {
    let parsed = serde_json::from_slice::<ErrorBody<'_>>(&received.body).ok().and_then(|body| body.error);
    let is_stripes = parsed.is_some();
    let error = parsed.unwrap_or_default();
    let code = error.code.as_deref().unwrap_or_default();
    failure.code = error.code.as_deref().map(|code| bounded(code, NAME_CHARACTERS_MAX));
    failure.param = error.param.as_deref().map(|param| bounded(param, NAME_CHARACTERS_MAX));
    failure.message = match error.message.as_deref() {
        Some(message) => bounded(message, MESSAGE_CHARACTERS_MAX),
        None if is_stripes => "Stripe gives no reason".to_owned(),
        None => {
            "the answer is not in Stripe's form; something between here and Stripe may answer in its place".to_owned()
        }
    };
    let status = received.status;
    let is_rate = status == 429 && code != "lock_timeout" || status == 400 && code == "rate_limit";
    let learned = if is_rate { limit_of(&received.headers) } else { Learned::Accepted };
    let wish = text(&received.headers, "stripe-should-retry");
    let temporary = matches!(status, 408 | 409 | 429 | 500..);
    // A 429 is tried again whatever the header wishes: the limiter lowers the rate, so the next attempt is another one.
    let again = is_rate || wish == Some("true") || (wish != Some("false") && (temporary || !is_stripes));
    let outcome = outcome(status, is_rate);
    let is_about_the_key = status == 401 || status == 403 && concerns_the_key(code, &failure.message);
    let verdict = if is_stripes && is_about_the_key {
        Verdict::Key(Box::new(failure))
    } else if again {
        let retry_after = if temporary || is_rate { retry_after(&received.headers) } else { None };
        let error = ApiError::Unavailable(Box::new(failure));
        Verdict::Again { error, failed: Failed { retry_after, is_free: is_rate, is_closed: false } }
    } else {
        let kind = error.kind.as_deref().unwrap_or_default();
        Verdict::Final(if is_stripes { classify(status, kind, code, failure) } else { unavailable(failure) })
    };
    Judged { verdict, learned, outcome }
}

fn unavailable(failure: Failure) -> ApiError {
    ApiError::Unavailable(Box::new(failure))
}

fn outcome(status: u16, is_rate: bool) -> &'static str {
    match status {
        _ if is_rate => RATE_LIMITED,
        401 => "key_refused",
        500.. => "server_error",
        _ => "refused",
    }
}

/// The kind of an error that stays.
fn classify(status: u16, kind: &str, code: &str, failure: Failure) -> ApiError {
    let message = failure.message.to_lowercase();
    let failure = Box::new(failure);
    let is_missing = code == "resource_missing"
        || status == 404 && (code == "not_found" || code.is_empty() && kind == "invalid_request_error");
    if NOT_AVAILABLE.iter().any(|part| message.contains(part)) {
        ApiError::NotAvailable(failure)
    } else if message.contains("a similar object exists in") {
        // In the other mode: whoever takes it for deleted here has the wrong key.
        ApiError::Refused(failure)
    } else if is_missing {
        ApiError::NotFound(failure)
    } else if status == 403 || code == "account_invalid" {
        ApiError::NoPermission(failure)
    } else if status >= 500 {
        ApiError::Unavailable(failure)
    } else {
        ApiError::Refused(failure)
    }
}

/// Whether a 403 is about the key itself: expired, revoked, or used from an address it may not be used from.
fn concerns_the_key(code: &str, message: &str) -> bool {
    let message = message.to_lowercase();
    matches!(code, "api_key_expired" | "platform_api_key_expired" | "secret_key_required")
        || code != "account_invalid"
            && message.contains("api key")
            && ["expired", "revoked", "invalid api key", "ip address"].iter().any(|part| message.contains(part))
}

/// Which limit turned the request away.
fn limit_of(headers: &HeaderMap) -> Learned {
    match text(headers, "stripe-rate-limited-reason") {
        Some("global-rate") => Learned::GlobalRate,
        Some("endpoint-rate") => Learned::EndpointRate,
        Some("global-concurrency") => Learned::GlobalConcurrency,
        Some("endpoint-concurrency") => Learned::EndpointConcurrency,
        // One object is asked for too often: nothing that a rate of all requests would change.
        Some("resource-specific") => Learned::Nothing,
        _ => Learned::SomeRate,
    }
}

/// `Retry-After`, in seconds or as a date.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let value = text(headers, "retry-after")?.trim();
    let seconds = match value.parse::<u64>() {
        Ok(seconds) => seconds,
        Err(_) => {
            let now = date(headers)?;
            u64::try_from(http_date(value)?.as_second().saturating_sub(now.as_second())).ok()?
        }
    };
    Some(Duration::from_secs(seconds.min(RETRY_AFTER_SECONDS_MAX)))
}

/// `Request-Id`, bounded.
pub(super) fn request_id(headers: &HeaderMap) -> Option<String> {
    text(headers, "request-id").map(|id| bounded(id, NAME_CHARACTERS_MAX))
}

/// A path for messages.
pub(super) fn bounded_path(path: &str) -> String {
    bounded(path, NAME_CHARACTERS_MAX * 2)
}

/// `Date`: Stripe's clock.
pub(super) fn date(headers: &HeaderMap) -> Option<Timestamp> {
    http_date(text(headers, "date")?)
}

fn http_date(text: &str) -> Option<Timestamp> {
    jiff::fmt::rfc2822::parse(text).ok().map(|zoned| zoned.timestamp())
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name)?.to_str().ok()
}

/// Masked, and cut where it is long.
fn bounded(text: &str, characters_max: usize) -> String {
    // A cut must not go through what is to be masked, but what is masked must be bounded as well.
    let first: String = text.chars().take(characters_max * 4).filter(|c| !c.is_control()).collect();
    let masked = redact(&first);
    match masked.char_indices().nth(characters_max) {
        Some((at, _)) => format!("{}…", masked.get(..at).unwrap_or_default()),
        None => masked.into_owned(),
    }
}
