//! One request from its first byte to its answer.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use ring::digest;
use serde_json::{Map, Value};

use super::answer::{Answer, date};
use super::body::AnswerBody;
use super::router::{Matched, Target};
use super::{auth, control, router, spoil};
use crate::account::keys::Permission;
use crate::account::{self, Account};
use crate::error::ApiError;
use crate::faults::ApiFault;
use crate::mutate::mutate;
use crate::params::{Params, decode_pairs};
use crate::read::View;
use crate::read::list::{self, ListRequest};
use crate::read::routes::{Read, ReadRoute};
use crate::read::{events, list_body, object, query};
use crate::routes::{Method, WriteRoute};
use crate::shared::Shared;

/// Largest body of a request, in bytes.
const BODY_BYTES_MAX: usize = 4 * 1024 * 1024;

/// What came.
pub(super) struct Received {
    pub(super) method: http::Method,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// Answers one request. An error resets the connection.
pub(super) async fn respond(
    shared: Arc<Shared>,
    reset: Arc<AtomicBool>,
    request: Request<Incoming>,
) -> io::Result<Response<AnswerBody>> {
    let (head, body) = request.into_parts();
    let body = match Limited::new(body, BODY_BYTES_MAX).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return Err(io::ErrorKind::InvalidData.into()),
    };
    let (path, query) = (head.uri.path().to_owned(), head.uri.query().unwrap_or_default().to_owned());
    let received = Received { method: head.method, path, query, headers: head.headers, body };
    if received.path.starts_with(control::PATH) {
        let answer = control::answer(&shared, &received).await;
        return Ok(spoil::send(answer, &[]));
    }
    answer_api(&shared, &reset, &received).await
}

async fn answer_api(shared: &Shared, reset: &AtomicBool, received: &Received) -> io::Result<Response<AnswerBody>> {
    let method = match received.method {
        http::Method::POST => Some(Method::Post),
        http::Method::DELETE => Some(Method::Delete),
        http::Method::GET | http::Method::HEAD => Some(Method::Get),
        _ => None,
    };
    let matched = method.and_then(|method| router::find(method, &received.path));
    let endpoint = format!("{} {}", received.method, matched.as_ref().map_or("unknown", |matched| matched.path));
    let number = shared.traffic().note(&endpoint);
    let faults = shared.faults.hit_request(&received.path);
    for fault in &faults {
        match fault {
            ApiFault::Reset => {
                reset.store(true, Ordering::Relaxed);
                return Err(io::ErrorKind::ConnectionReset.into());
            }
            ApiFault::Hang(time) => tokio::time::sleep(*time).await,
            _ => {}
        }
    }
    let limited = || shared.traffic().exceeded(&endpoint).map(|reason| Answer::rate_limited(Some(reason), None));
    let mut account = shared.account();
    let mut answer = match spoil::instead(&faults).or_else(limited) {
        Some(answer) => answer,
        None => answer_from(&mut account, received, matched.as_ref(), &faults),
    };
    let (name, value) = date(account.now());
    answer.set(name, value);
    let request_id = account.new_request_id();
    if !answer.headers.iter().any(|(name, _)| *name == "request-id") {
        answer.set("request-id", request_id);
    }
    drop(account);
    shared.traffic().answered(number, answer.status);
    Ok(spoil::send(answer, &faults))
}

/// The answer that the account gives.
fn answer_from(account: &mut Account, received: &Received, matched: Option<&Matched>, faults: &[ApiFault]) -> Answer {
    let version = received.headers.get("stripe-version").and_then(|value| value.to_str().ok());
    let version = version.unwrap_or(account.default_version()).to_owned();
    let needed = if received.method == http::Method::GET { Permission::Read } else { Permission::Write };
    let kind = matched.map_or("account", router::kind_of);
    let checked = auth::check(account, &received.headers, kind, needed)
        .and_then(|()| auth::check_account(account, &received.headers))
        .and_then(|()| check_version(&version));
    let result = checked.and_then(|()| {
        let matched = matched.ok_or_else(|| unknown_url(received))?;
        match matched.target {
            Target::Read(route) => read(account, route, matched, received, &version, faults).map(Answer::ok),
            Target::Write(route) if route.method == Method::Get => {
                write(account, route, matched, received, &version).map(Answer::ok)
            }
            Target::Write(route) => Ok(write_once(account, route, matched, received, &version)),
        }
    });
    let mut answer = result.unwrap_or_else(|error| Answer::error(&error));
    answer.set("stripe-version", version);
    answer
}

fn unknown_url(received: &Received) -> ApiError {
    let message = format!("Unrecognized request URL ({}: {}).", received.method, received.path);
    ApiError { status: 404, ..ApiError::invalid(message) }
}

/// Whether a version has the form of one: a date, and since 2024 a name.
fn check_version(version: &str) -> Result<(), ApiError> {
    let (date, name) = version.split_once('.').unwrap_or((version, ""));
    let is_date = date.len() == 10 && date.parse::<jiff::civil::Date>().is_ok();
    let is_name = name.bytes().all(|byte| byte.is_ascii_lowercase());
    let is_known = date <= billhook_stripe::catalogue::api_version().get(..10).unwrap_or_default();
    if is_date && is_name && is_known {
        Ok(())
    } else {
        Err(ApiError::invalid(format!("Invalid Stripe API version: {version}")))
    }
}

fn read(
    account: &mut Account,
    route: &'static ReadRoute,
    matched: &Matched,
    received: &Received,
    version: &str,
    faults: &[ApiFault],
) -> Result<Bytes, ApiError> {
    let pairs = decode_pairs(&received.query);
    let pairs = pairs.iter().map(|(key, value)| (key.as_str(), value.as_str()));
    let params = Params::from_pairs(matched.values.clone(), pairs)?;
    let request = ListRequest { list: &route.list, params: &params, path: &received.path, version, faults };
    let id = params.path("id");
    if account.payment_methods_need_customer && received.path == "/v1/payment_methods" {
        params.required("customer")?;
    }
    let body = match &route.read {
        Read::List(kind) if kind.starts_with("v2.") => list::of_kind_v2(account, kind, None, &request),
        Read::List(kind) => list::of_kind(account, kind, None, &request),
        Read::Below(kind, parent, property) => {
            let parent_id = matched.values.first().map_or("", |(_, value)| value.as_str());
            if let Some(parent) = parent.filter(|_| parent_id != account.id()) {
                account.require(parent, parent_id, "id")?;
            }
            if kind.starts_with("v2.") {
                list::of_kind_v2(account, kind, Some((property, parent_id)), &request)
            } else {
                list::of_kind(account, kind, Some((property, parent_id)), &request)
            }
        }
        Read::Several(kinds, property, parent) => {
            if id != account.id() {
                account.require(parent, id, "id")?;
            }
            list::of_kinds(account, kinds, (property, id), &request)
        }
        Read::Elements(embedded, None) => list::of_embedded(account, embedded, id, &request),
        Read::Elements(embedded, Some(parameter)) => {
            let parent = params.required(parameter)?.to_owned();
            list::of_embedded(account, embedded, &parent, &request)
        }
        Read::Empty => Ok(list_body(&[], false, &received.path)),
        Read::Events => events::list(account, &request),
        Read::ThinEvents => events::list_thin(account, &request),
        Read::Event => return events::retrieve(account, id),
        Read::ThinEvent => return events::retrieve_thin(account, id),
        _ => return read_one(account, route, &params, version),
    };
    if body.is_ok() {
        after_page(account, route, received, faults);
    }
    body
}

fn read_one(account: &mut Account, route: &ReadRoute, params: &Params, version: &str) -> Result<Bytes, ApiError> {
    let expand = query::expand(params)?;
    let view = View { version, expand: &expand };
    let id = params.path("id");
    match &route.read {
        Read::OwnAccount => {
            let own = account.own();
            object::show(account, own, view)
        }
        Read::Object("account") if id == account.id() => {
            let own = account.own();
            object::show(account, own, view)
        }
        Read::Object(kind) => object::retrieve(account, &[kind], id, view),
        Read::ObjectOf(kinds) => object::retrieve(account, kinds, params.path("elementId"), view),
        Read::Singleton(kind) => match account.get(kind, if id.is_empty() { "self" } else { id }) {
            Some(object) => object::show(account, object, view),
            None if id.is_empty() => {
                let plain = account.plain_singleton(kind);
                object::show(account, plain, view)
            }
            None => Err(ApiError::no_such(kind, id, "id")),
        },
        _ => Err(ApiError::invalid("This path reads no object.")),
    }
}

/// What happens to the account between two pages.
fn after_page(account: &mut Account, route: &ReadRoute, received: &Received, faults: &[ApiFault]) {
    let shared_faults = account.faults().clone();
    shared_faults.after_page(&received.path, account);
    if faults.contains(&ApiFault::Mutate) {
        mutate(account, route.kind);
    }
}

/// Runs a write, or repeats the answer that its idempotency key has already.
fn write_once(
    account: &mut Account,
    route: &'static WriteRoute,
    matched: &Matched,
    received: &Received,
    version: &str,
) -> Answer {
    let key = received.headers.get("idempotency-key").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut context = digest::Context::new(&digest::SHA256);
    for part in
        [received.method.as_str().as_bytes(), received.path.as_bytes(), received.query.as_bytes(), &received.body]
    {
        context.update(part);
        context.update(b"\n");
    }
    let fingerprint = context.finish();
    if let Some(replayed) = key.as_deref().and_then(|key| account.replay(key, fingerprint.as_ref())) {
        return match replayed {
            Ok((status, body, request_id)) => {
                let mut answer = Answer { status, headers: Vec::new(), body };
                answer.set("idempotency-key", key.unwrap_or_default());
                answer.set("idempotent-replayed", "true".to_owned());
                answer.set("original-request", request_id);
                answer
            }
            Err(error) => Answer::error(&error),
        };
    }
    let request_id = account.new_request_id();
    account.request = Some(account::Request { id: request_id.clone(), idempotency_key: key.clone() });
    let result = write(account, route, matched, received, version);
    account.request = None;
    // What was refused for its parameters began nothing: it is not kept.
    let is_kept = !matches!(&result, Err(error) if error.status == 400 || error.status == 404);
    let mut answer = result.map_or_else(|error| Answer::error(&error), Answer::ok);
    if let (Some(key), true) = (&key, is_kept) {
        account.remember(key, fingerprint.as_ref(), answer.status, &answer.body, &request_id);
    }
    answer.headers.extend(key.map(|key| ("idempotency-key", key)));
    answer.set("request-id", request_id);
    answer
}

fn write(
    account: &mut Account,
    route: &'static WriteRoute,
    matched: &Matched,
    received: &Received,
    version: &str,
) -> Result<Bytes, ApiError> {
    let params = body_params(received, matched.values.clone())?;
    let expand = query::expand(&params)?;
    let mut values = params.values().clone();
    values.remove("expand");
    let params = params.nested(&values);
    let result = (route.handler)(account, &params)?;
    object::show_result(account, result, View { version, expand: &expand })
}

/// The parameters of a write: of its query, and of its body as a form or JSON.
pub(super) fn body_params(received: &Received, path: Vec<(String, String)>) -> Result<Params, ApiError> {
    let kind = received.headers.get(http::header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    if kind.starts_with("application/json") && !received.body.is_empty() {
        let values: Map<String, Value> = serde_json::from_slice(&received.body)
            .map_err(|_| ApiError::invalid("The body of the request is no JSON object."))?;
        return Ok(Params::new(path, values));
    }
    let body = String::from_utf8_lossy(&received.body);
    let mut pairs = decode_pairs(&received.query);
    pairs.extend(decode_pairs(&body));
    Params::from_pairs(path, pairs.iter().map(|(key, value)| (key.as_str(), value.as_str())))
}
