//! One attempt: a request and the whole of its answer, within bounds.

use std::error::Error as _;
use std::sync::Arc;
use std::time::Duration;

use billhook_core::Secret;
use bytes::{Bytes, BytesMut};
use jiff::Timestamp;
use reqwest::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, Url};
use rustls::{ClientConfig, RootCertStore};
use tokio::time::{Instant, timeout, timeout_at};

use super::base::Base;
use super::{ApiError, Limits};

/// Bytes of an answer that tells of an error. Stripe's have a few hundred.
const ERROR_BYTES_MAX: usize = 256 << 10;

/// Idle connections are given up before Stripe does, in seconds: fewer requests meet a connection that is just being closed.
const IDLE_SECONDS_MAX: u64 = 45;

/// Between two signs of life on a connection, in seconds, so that a connection whose other end is gone is noticed.
const KEEP_ALIVE_SECONDS: u64 = 20;

/// Everything about a request but its key.
#[derive(Debug, Clone)]
pub(super) struct Request {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Option<Bytes>,
}

/// An answer, whatever its status.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    /// From asking to the answer's head.
    pub(super) round_trip: Duration,
}

impl Received {
    /// A second of Stripe's clock that is not later than what the answer tells: its `Date` less the round trip, rounded down.
    pub(super) fn read_at(&self, date: Timestamp) -> i64 {
        let round_trip = self.round_trip.as_nanos().div_ceil(1_000_000_000);
        date.as_second().saturating_sub(i64::try_from(round_trip).unwrap_or(i64::MAX))
    }
}

/// Why there is no whole answer.
#[derive(Debug)]
pub(super) enum Broken {
    /// No connection.
    Connect(String),
    /// The connection ended before the answer began.
    Closed(String),
    /// It took too long.
    Late(String),
    /// The answer broke off.
    Cut(String),
    /// The answer has more bytes than are read.
    TooLarge,
}

/// Makes attempts over connections that are kept.
#[derive(Debug)]
pub(super) struct Transport {
    client: reqwest::Client,
    limits: Limits,
}

impl Transport {
    pub(super) fn new(base: &Base, limits: Limits) -> Result<Self, ApiError> {
        let cannot = |error: &dyn std::fmt::Display| {
            ApiError::Configuration(format!("the HTTP client for Stripe's API cannot be set up: {error}"))
        };
        let seconds = Duration::from_secs;
        let mut builder = reqwest::Client::builder()
            .tls_backend_preconfigured(tls().map_err(|error| cannot(&error))?)
            .https_only(base.is_https())
            // Stripe redirects nobody; whoever does would be given the key.
            .redirect(reqwest::redirect::Policy::none())
            // Attempts are counted and paced here.
            .retry(reqwest::retry::never())
            .referer(false)
            .user_agent(concat!("billhook/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_millis(limits.connect_ms))
            .pool_idle_timeout(seconds(IDLE_SECONDS_MAX))
            .tcp_keepalive(seconds(KEEP_ALIVE_SECONDS))
            .http2_keep_alive_interval(seconds(KEEP_ALIVE_SECONDS))
            .http2_keep_alive_timeout(seconds(KEEP_ALIVE_SECONDS))
            .http2_adaptive_window(true);
        // Elsewhere HTTPS_PROXY counts: where it is the only way out, it carries the encrypted connection and sees no key.
        if base.is_loopback() {
            builder = builder.no_proxy();
        }
        Ok(Self { client: builder.build().map_err(|error| cannot(&error))?, limits })
    }

    /// Asks once. Everything from the connection to the last byte is within `attempt_ms`.
    pub(super) async fn attempt(&self, request: &Request, key: &Secret) -> Result<Received, Broken> {
        let start = Instant::now();
        let deadline = start + Duration::from_millis(self.limits.attempt_ms);
        let late = |what: &str| Broken::Late(format!("{what} within {} ms", self.limits.attempt_ms));
        let mut sent = reqwest::Request::new(request.method.clone(), request.url.clone());
        *sent.headers_mut() = request.headers.clone();
        sent.headers_mut().insert(AUTHORIZATION, authorization(key)?);
        *sent.body_mut() = request.body.clone().map(Into::into);
        let response = match timeout_at(deadline, self.client.execute(sent)).await {
            Err(_) => return Err(late("there was no answer")),
            Ok(Err(error)) if error.is_connect() && error.is_timeout() => {
                return Err(Broken::Connect(format!("no connection within {} ms", self.limits.connect_ms)));
            }
            Ok(Err(error)) if error.is_connect() => return Err(Broken::Connect(causes(error))),
            Ok(Err(error)) => return Err(Broken::Closed(causes(error))),
            Ok(Ok(response)) => response,
        };
        let round_trip = start.elapsed();
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body =
            timeout_at(deadline, self.body(response)).await.map_err(|_| late("the answer was not complete"))??;
        Ok(Received { status, headers, body, round_trip })
    }

    /// Reads the body piece by piece. Pieces come unpacked and are small, so the bound holds for packed bodies too: a bomb is
    /// left as soon as it has become too large.
    async fn body(&self, mut response: reqwest::Response) -> Result<Bytes, Broken> {
        let is_error = response.status().is_client_error() || response.status().is_server_error();
        let bytes_max = if is_error { ERROR_BYTES_MAX.min(self.limits.answer_bytes) } else { self.limits.answer_bytes };
        let announced = response.content_length().unwrap_or(0);
        if announced > bytes_max as u64 {
            return Err(Broken::TooLarge);
        }
        let mut body = BytesMut::new();
        let silence = Duration::from_millis(self.limits.silence_ms);
        loop {
            let piece = timeout(silence, response.chunk()).await.map_err(|_| {
                Broken::Late(format!("no further byte of the answer within {} ms", self.limits.silence_ms))
            })?;
            let Some(piece) = piece.map_err(|error| Broken::Cut(causes(error)))? else { return Ok(body.freeze()) };
            if body.len() + piece.len() > bytes_max {
                return Err(Broken::TooLarge);
            }
            if body.is_empty() {
                body.reserve(usize::try_from(announced).unwrap_or(0).max(piece.len()));
            }
            body.extend_from_slice(&piece);
        }
    }
}

/// The key in its header, marked so that no layer below prints it.
fn authorization(key: &Secret) -> Result<HeaderValue, Broken> {
    let mut value = HeaderValue::try_from(format!("Bearer {}", key.expose()))
        .map_err(|_| Broken::Connect("the API key contains characters that cannot be sent".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

/// Headers that every request of a client has.
pub(super) fn standing_headers(version: &str) -> Result<HeaderMap, ApiError> {
    let version = header_value(version, "the Stripe-Version")?;
    let version = (HeaderName::from_static("stripe-version"), version);
    Ok([version, (ACCEPT, HeaderValue::from_static("application/json"))].into_iter().collect())
}

/// A header value of visible characters.
pub(super) fn header_value(text: &str, what: &str) -> Result<HeaderValue, ApiError> {
    let is_plain = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    let value = if is_plain { HeaderValue::try_from(text).ok() } else { None };
    value.ok_or_else(|| ApiError::Configuration(format!("{what} is empty or contains characters that cannot be sent")))
}

/// The header of a form's body.
pub(super) fn form_header() -> (HeaderName, HeaderValue) {
    (CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"))
}

fn tls() -> Result<ClientConfig, rustls::Error> {
    let roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
    let mut config = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// An error with its causes, without the URL, whose query may hold an address.
fn causes(error: reqwest::Error) -> String {
    let error = error.without_url();
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(": ");
        text.push_str(&inner.to_string());
        cause = inner.source();
    }
    text
}
