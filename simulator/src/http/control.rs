//! `/_simulator/…`: what tests in other languages do to the simulator.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::answer::Answer;
use super::respond::{Received, body_params};
use crate::account::to_bytes;
use crate::business;
use crate::error::ApiError;
use crate::faults::{ApiFault, EventFault, Limit};
use crate::oracle::Oracle;
use crate::params::{Params, decode_pairs};
use crate::shared::Shared;
use crate::webhooks::{EndpointOptions, Payload};

/// Where all of it lives.
pub(super) const PATH: &str = "/_simulator/";

/// How often a wait looks again, in milliseconds.
const POLL_MS: u64 = 10;
/// Longest wait for deliveries, in seconds.
const SETTLE_SECONDS_MAX: u64 = 60;

/// Answers a request. There is no key: whoever is on this machine may.
pub(super) async fn answer(shared: &Shared, received: &Received) -> Answer {
    let name = received.path.strip_prefix(PATH).unwrap_or_default();
    if name == "settle" {
        settle(shared).await;
    }
    match act(shared, received, name) {
        Ok(value) => Answer::ok(to_bytes(&value)),
        Err(error) => Answer::error(&error),
    }
}

fn act(shared: &Shared, received: &Received, name: &str) -> Result<Value, ApiError> {
    let params = body_params(received, Vec::new())?;
    match (received.method.as_str(), name) {
        ("GET", "oracle") => {
            let query = decode_pairs(&received.query);
            let kind = query.iter().find(|(key, _)| key == "kind").map(|(_, value)| value.as_str());
            Ok(Oracle::new(&shared.account(), &shared.traffic()).to_json(kind))
        }
        ("GET", "requests") => Ok(requests(shared)),
        ("POST", "clock") => {
            let mut account = shared.account();
            account.advance(params.integer("advance")?.unwrap_or(0));
            Ok(json!({"now": account.now()}))
        }
        ("POST", "settle") => Ok(json!({"undelivered": shared.account().queue.len()})),
        ("DELETE", "faults") => {
            shared.faults.clear();
            Ok(json!({}))
        }
        ("POST", "faults") => add_fault(shared, &params),
        ("POST", "endpoints") => add_endpoint(shared, &params),
        ("POST", "objects") => {
            let object = params.get("object").filter(|object| object.is_object()).cloned();
            let object = object.ok_or_else(|| ApiError::missing_parameter("object"))?;
            Ok(json!({"id": shared.account().insert(object, params.text("event"))}))
        }
        ("POST", _) => {
            business::control(&mut shared.account(), name, &params).unwrap_or_else(|| Err(unknown(received)))
        }
        _ => Err(unknown(received)),
    }
}

fn unknown(received: &Received) -> ApiError {
    ApiError {
        status: 404,
        ..ApiError::invalid(format!("The simulator has no {} {}.", received.method, received.path))
    }
}

async fn settle(shared: &Shared) {
    let end = Instant::now() + Duration::from_secs(SETTLE_SECONDS_MAX);
    while shared.account().queue.is_busy(Instant::now()) && Instant::now() < end {
        tokio::time::sleep(Duration::from_millis(POLL_MS)).await;
    }
}

/// Requests by endpoint, with the most within any one second.
fn requests(shared: &Shared) -> Value {
    let oracle = Oracle::new(&shared.account(), &shared.traffic());
    let mut endpoints: Vec<&str> = oracle.requests().iter().map(|request| &*request.endpoint).collect();
    endpoints.sort_unstable();
    endpoints.dedup();
    let count = |endpoint: &str| {
        let of_endpoint = oracle.requests().iter().filter(|request| &*request.endpoint == endpoint);
        json!({"endpoint": endpoint, "requests": of_endpoint.count()})
    };
    json!({
        "total": oracle.requests_total(),
        "busiest_second": oracle.busiest_second(""),
        "endpoints": endpoints.into_iter().map(count).collect::<Vec<_>>(),
    })
}

fn add_endpoint(shared: &Shared, params: &Params) -> Result<Value, ApiError> {
    let names: Vec<String> =
        params.array("enabled_events").iter().filter_map(Value::as_str).map(str::to_owned).collect();
    let options = EndpointOptions {
        url: params.required("url")?.to_owned(),
        secret: params.text("secret").map(str::to_owned),
        api_version: params.text("api_version").map(str::to_owned),
        enabled_events: if names.is_empty() { vec!["*".to_owned()] } else { names },
        payload: match params.text("payload") {
            Some("thin") => Payload::Thin,
            Some("both") => Payload::Both,
            _ => Payload::Snapshot,
        },
    };
    let (id, secret) = shared.account().add_endpoint(&options);
    Ok(json!({"id": id, "secret": secret}))
}

/// `{"fault": "status", "path": "/v1/invoices", "status": 500, "next": 3}`, or `"share": 0.1` instead of `next`.
fn add_fault(shared: &Shared, params: &Params) -> Result<Value, ApiError> {
    let share = params.get("share").and_then(|share| share.as_f64().or_else(|| share.as_str()?.parse().ok()));
    let next = params.integer("next")?.and_then(|next| u64::try_from(next).ok());
    let limit = match (share, next) {
        (Some(share), Some(next)) => Limit::ShareUpTo(share, next),
        (Some(share), None) => Limit::Share(share),
        (None, Some(next)) => Limit::Next(next),
        (None, None) => Limit::Always,
    };
    let name = params.required("fault")?;
    let id = if let Some(fault) = event_fault(name, params)? {
        shared.faults.events(params.text("type").unwrap_or(""), fault, limit)
    } else {
        let fault = api_fault(name, params)?;
        let unknown = || ApiError::parameter("parameter_invalid", "fault", format!("There is no fault {name}."));
        shared.faults.api(params.text("path").unwrap_or(""), fault.ok_or_else(unknown)?, limit)
    };
    Ok(json!({"id": id}))
}

fn event_fault(name: &str, params: &Params) -> Result<Option<EventFault>, ApiError> {
    let time = milliseconds(params, 1_000)?;
    Ok(match name {
        "never_generated" => Some(EventFault::NeverGenerated),
        "drop" => Some(EventFault::Drop),
        "duplicate" => Some(EventFault::Duplicate),
        "reorder" => Some(EventFault::Reorder(time)),
        "delay" => Some(EventFault::Delay(time)),
        _ => None,
    })
}

fn api_fault(name: &str, params: &Params) -> Result<Option<ApiFault>, ApiError> {
    let bytes = params.integer("bytes")?.and_then(|bytes| u64::try_from(bytes).ok());
    let small = |name: &str| Ok(params.integer(name)?.and_then(|value| u32::try_from(value).ok()));
    Ok(Some(match name {
        "rate_limited" => ApiFault::RateLimited {
            retry_after: small("retry_after")?,
            reason: params.text("reason").map(str::to_owned),
        },
        "status" => ApiFault::Status {
            status: small("status")?.and_then(|status| u16::try_from(status).ok()).unwrap_or(500),
            should_retry: params.boolean("should_retry")?,
        },
        "refused" => ApiFault::Refused {
            status: small("status")?.and_then(|status| u16::try_from(status).ok()).unwrap_or(400),
            message: params.text("message").unwrap_or("This product is not available on your account.").to_owned(),
        },
        "half_json" => ApiFault::HalfJson,
        "cut" => ApiFault::Cut,
        "drip" => ApiFault::Drip { bytes_per_second: small("bytes_per_second")?.unwrap_or(1) },
        "hang" => ApiFault::Hang(milliseconds(params, 60_000)?),
        "reset" => ApiFault::Reset,
        "gzip_bomb" => ApiFault::GzipBomb { bytes: bytes.unwrap_or(1 << 30) },
        "html" => ApiFault::Html,
        "huge_page" => ApiFault::HugePage { bytes: usize::try_from(bytes.unwrap_or(50_000_000)).unwrap_or(0) },
        "repeat_page" => ApiFault::RepeatPage,
        "empty_page" => ApiFault::EmptyPage,
        "repeat_ids" => ApiFault::RepeatIds,
        "misordered" => ApiFault::Misordered,
        "delete_cursor" => ApiFault::DeleteCursor,
        "mutate" => ApiFault::Mutate,
        _ => return Ok(None),
    }))
}

fn milliseconds(params: &Params, default: u64) -> Result<Duration, ApiError> {
    let time = params.integer("milliseconds")?.and_then(|time| u64::try_from(time).ok());
    Ok(Duration::from_millis(time.unwrap_or(default)))
}
