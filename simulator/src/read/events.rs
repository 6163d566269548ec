//! The Events API: the last 30 days, by the account's clock.

use bytes::Bytes;
use serde_json::Value;

use super::list::{ListRequest, is_empty_range, next_page_url, shape, split_page_token};
use super::query::{Cursor, ListQuery, event_types};
use super::{list_body, list_body_v2};
use crate::account::{Account, Event, ThinEvent, to_bytes};
use crate::error::ApiError;
use crate::faults::ApiFault;

/// How long events can be read, in seconds.
const RETENTION_SECONDS: i64 = 30 * 86_400;

/// `GET /v1/events/{id}`.
pub(crate) fn retrieve(account: &Account, id: &str) -> Result<Bytes, ApiError> {
    let oldest = account.now() - RETENTION_SECONDS;
    let event = account.log.snapshot(id).filter(|event| event.generated && event.created >= oldest);
    event
        .map(|event| event.render(&event.api_version, account.livemode(), account))
        .ok_or_else(|| ApiError::no_such("event", id, "id"))
}

/// `GET /v2/core/events/{id}`.
pub(crate) fn retrieve_thin(account: &Account, id: &str) -> Result<Bytes, ApiError> {
    let oldest = account.now() - RETENTION_SECONDS;
    let event = account.log.thin(id).filter(|event| event.generated && event.created >= oldest);
    event.map(|event| to_bytes(&event.render(account.livemode()))).ok_or_else(|| ApiError::no_such("event", id, "id"))
}

/// `GET /v1/events`.
pub(crate) fn list(account: &Account, request: &ListRequest<'_>) -> Result<Bytes, ApiError> {
    let mut query = ListQuery::read(request.params, request.list)?;
    let types = event_types(&query.filters)?;
    let delivered = request.params.boolean("delivery_success")?;
    if request.faults.contains(&ApiFault::RepeatPage) {
        query.cursor = Cursor::Start;
    }
    query.created.0 = query.created.0.max(account.now() - RETENTION_SECONDS);
    let place = |id: &str, param| account.log.place(id).ok_or_else(|| ApiError::no_such_reference("event", id, param));
    let cursor = match &query.cursor {
        Cursor::Start => None,
        Cursor::After(id) => Some(place(id, "starting_after")?),
        Cursor::Before(id) => Some(place(id, "ending_before")?),
    };
    let range = query.bounds(cursor);
    let passes = |event: &Event| {
        event.generated
            && (types.is_empty() || types.iter().any(|wanted| is_of_type(&event.event_type, wanted)))
            && delivered.is_none_or(|delivered| delivered == (event.pending == 0))
    };
    let mut found: Vec<&Event> = Vec::new();
    if !is_empty_range(&range) {
        let within = account.log.snapshots.range(range).map(|(_, event)| event);
        found = if query.is_ascending() {
            within.filter(|event| passes(event)).take(query.limit + 1).collect()
        } else {
            within.rev().filter(|event| passes(event)).take(query.limit + 1).collect()
        };
    }
    let has_more = found.len() > query.limit;
    found.truncate(query.limit);
    if query.is_ascending() {
        found.reverse();
    }
    let render = |event: &&Event| event.render(&event.api_version, account.livemode(), account);
    let mut items: Vec<Bytes> = found.iter().map(render).collect();
    let has_more = shape(&mut items, has_more, request.faults);
    Ok(list_body(&items, has_more, request.path))
}

/// `GET /v2/core/events`.
pub(crate) fn list_thin(account: &Account, request: &ListRequest<'_>) -> Result<Bytes, ApiError> {
    let (token, rest) = split_page_token(request.params)?;
    let mut query = ListQuery::read(&rest, request.list)?;
    query.created.0 = query.created.0.max(account.now() - RETENTION_SECONDS);
    query.cursor = token.map_or(Cursor::Start, |_| Cursor::After(String::new()));
    let types = event_types(&query.filters)?;
    let about = query.filters.get("object_id").and_then(Value::as_str);
    let range = query.bounds(token);
    let passes = |event: &ThinEvent| {
        event.generated
            && (types.is_empty() || types.contains(&event.event_type))
            && about.is_none_or(|id| event.related_object.as_ref().is_some_and(|(related, ..)| related == id))
    };
    let mut found = Vec::new();
    if !is_empty_range(&range) {
        let within = account.log.thin.range(range).rev();
        found = within.filter(|(_, event)| passes(event)).take(query.limit + 1).collect();
    }
    let has_more = found.len() > query.limit;
    found.truncate(query.limit);
    let last = found.last().map(|(place, _)| **place);
    let mut items: Vec<Bytes> = found.iter().map(|(_, event)| to_bytes(&event.render(account.livemode()))).collect();
    let has_more = shape(&mut items, has_more, request.faults);
    let next = last.or(token).filter(|_| has_more).map(|last| next_page_url(request.path, &rest, last));
    Ok(list_body_v2(&items, next.as_deref()))
}

/// Whether a type is the wanted one, or in the wanted group (`customer.*`).
pub(crate) fn is_of_type(event_type: &str, wanted: &str) -> bool {
    wanted == "*" || wanted == event_type || wanted.strip_suffix('*').is_some_and(|group| event_type.starts_with(group))
}
