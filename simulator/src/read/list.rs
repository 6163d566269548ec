//! Pages of lists.

use billhook_stripe::catalogue::List;
use bytes::Bytes;
use serde_json::{Map, Value};

use super::filter::{is_indexable, is_left_out, passes};
use super::object::{below, show, show_bytes};
use super::query::{Cursor, ListQuery};
use super::{View, list_body, list_body_v2};
use crate::account::Account;
use crate::account::collection::{Collection, Omission, Place};
use crate::account::embedded::{Elements, Embedded};
use crate::error::ApiError;
use crate::faults::ApiFault;
use crate::params::Params;

/// What a list request is about.
pub(crate) struct ListRequest<'a> {
    pub(crate) list: &'a List,
    pub(crate) params: &'a Params,
    /// The path as it was asked for: `url` of the answer.
    pub(crate) path: &'a str,
    pub(crate) version: &'a str,
    pub(crate) faults: &'a [ApiFault],
}

/// Elements of a page with what comes after it.
struct Page<T> {
    items: Vec<T>,
    has_more: bool,
    last: Option<Place>,
}

/// A list of the objects of one kind, or of those that name `parent` in a property.
pub(crate) fn of_kind(
    account: &mut Account,
    kind: &'static str,
    parent: Option<(&'static str, &str)>,
    request: &ListRequest<'_>,
) -> Result<Bytes, ApiError> {
    let mut query = ListQuery::read(request.params, request.list)?;
    let expand = element_paths(&query.expand)?;
    let faults = request.faults;
    if faults.contains(&ApiFault::DeleteCursor) {
        delete_cursor(account, kind, &query.cursor);
    }
    if faults.contains(&ApiFault::RepeatPage) {
        query.cursor = Cursor::Start;
    }
    let mut page = select(account, kind, parent, &query)?;
    if let (true, Cursor::After(id)) = (faults.contains(&ApiFault::RepeatIds), &query.cursor) {
        let repeated = account.kinds.get(kind).and_then(|collection| collection.get(id));
        page.items.splice(0..0, repeated.map(|entry| entry.shown().clone()));
    }
    let view = View { version: request.version, expand: &expand };
    let mut items = Vec::with_capacity(page.items.len());
    for stored in &page.items {
        items.push(show_bytes(account, kind, stored, view)?);
    }
    let has_more = shape(&mut items, page.has_more, faults);
    Ok(list_body(&items, has_more, request.path))
}

/// A list of the v2 API: `page` says where to go on, and the answer names the next page's address.
pub(crate) fn of_kind_v2(
    account: &mut Account,
    kind: &'static str,
    parent: Option<(&'static str, &str)>,
    request: &ListRequest<'_>,
) -> Result<Bytes, ApiError> {
    let (token, rest) = split_page_token(request.params)?;
    let mut query = ListQuery::read(&rest, request.list)?;
    query.cursor = token.map_or(Cursor::Start, |_| Cursor::After(String::new()));
    let page = select_from(account, kind, parent, &query, token)?;
    let mut items = Vec::with_capacity(page.items.len());
    for stored in &page.items {
        items.push(show_bytes(account, kind, stored, View { version: request.version, expand: &[] })?);
    }
    let has_more = shape(&mut items, page.has_more, request.faults);
    let next = page.last.or(token).filter(|_| has_more).map(|last| next_page_url(request.path, &rest, last));
    Ok(list_body_v2(&items, next.as_deref()))
}

/// The elements of several kinds below one object: a customer's cards, bank accounts and sources.
pub(crate) fn of_kinds(
    account: &mut Account,
    kinds: &[&'static str],
    parent: (&'static str, &str),
    request: &ListRequest<'_>,
) -> Result<Bytes, ApiError> {
    let mut query = ListQuery::read_common(request.params)?;
    // Such lists take the kind under the name of `object`.
    let wanted = query.filters.remove("object");
    query.check_known(|_| false)?;
    let mut elements: Vec<Value> =
        below(account, kinds, parent.0, parent.1).into_iter().map(|(_, element)| element).collect();
    if let Some(kind) = wanted.as_ref().and_then(Value::as_str) {
        elements.retain(|element| element["object"] == kind);
    }
    of_elements(account, elements, kinds.first().copied().unwrap_or("object"), &query, request)
}

/// The elements that live inside of one object, in its order.
pub(crate) fn of_embedded(
    account: &mut Account,
    embedded: &Embedded,
    parent: &str,
    request: &ListRequest<'_>,
) -> Result<Bytes, ApiError> {
    let mut query = ListQuery::read_common(request.params)?;
    for name in &request.list.required_query {
        query.filters.remove(*name);
    }
    query.check_known(|_| false)?;
    let whole = account.require(embedded.kind, parent, "id")?;
    let elements = whole[embedded.property]["data"].as_array().cloned().unwrap_or_default();
    let Elements::Own(kind) = embedded.elements else {
        return Ok(list_body(&[], false, request.path));
    };
    of_elements(account, elements, kind, &query, request)
}

fn of_elements(
    account: &mut Account,
    elements: Vec<Value>,
    kind: &str,
    query: &ListQuery,
    request: &ListRequest<'_>,
) -> Result<Bytes, ApiError> {
    let expand = element_paths(&query.expand)?;
    let position = |id: &str, param| {
        let at = elements.iter().position(|element| element["id"] == id);
        at.ok_or_else(|| ApiError::no_such_reference(kind, id, param))
    };
    let (from, to) = match &query.cursor {
        Cursor::Start => (0, query.limit.min(elements.len())),
        Cursor::After(id) => {
            let from = position(id, "starting_after")? + 1;
            (from, (from + query.limit).min(elements.len()))
        }
        Cursor::Before(id) => {
            let to = position(id, "ending_before")?;
            (to.saturating_sub(query.limit), to)
        }
    };
    let has_more = if query.is_ascending() { from > 0 } else { to < elements.len() };
    let mut items = Vec::new();
    for element in elements.get(from..to).unwrap_or_default() {
        items.push(show(account, element.clone(), View { version: request.version, expand: &expand })?);
    }
    let has_more = shape(&mut items, has_more, request.faults);
    Ok(list_body(&items, has_more, request.path))
}

/// Applies the faults that concern the form of a page. Returns what the page says about there being more.
pub(super) fn shape(items: &mut Vec<Bytes>, has_more: bool, faults: &[ApiFault]) -> bool {
    let mut has_more = has_more;
    for fault in faults {
        match fault {
            ApiFault::RepeatPage => has_more = true,
            ApiFault::EmptyPage => {
                items.clear();
                has_more = true;
            }
            ApiFault::Misordered => items.reverse(),
            _ => {}
        }
    }
    has_more
}

/// The paths of `expand[]` below `data`.
pub(super) fn element_paths(paths: &[String]) -> Result<Vec<String>, ApiError> {
    let below_data = |path: &String| path.strip_prefix("data.").map(str::to_owned);
    let refuse = |path: &String| {
        let message =
            format!("This property cannot be expanded ({path}). You may want to try expanding 'data.{path}'.");
        ApiError::parameter("invalid_expand", "expand", message)
    };
    paths.iter().map(|path| below_data(path).ok_or_else(|| refuse(path))).collect()
}

fn delete_cursor(account: &mut Account, kind: &'static str, cursor: &Cursor) {
    if let Cursor::After(id) | Cursor::Before(id) = cursor {
        let event = crate::mutate::deletion_event(kind);
        // An object that is gone already is what the fault wants.
        let _ = account.remove(kind, id, event);
    }
}

fn select(
    account: &mut Account,
    kind: &'static str,
    parent: Option<(&'static str, &str)>,
    query: &ListQuery,
) -> Result<Page<Bytes>, ApiError> {
    let cursor = match &query.cursor {
        Cursor::Start => None,
        Cursor::After(id) => Some(cursor_place(account, kind, id, "starting_after")?),
        Cursor::Before(id) => Some(cursor_place(account, kind, id, "ending_before")?),
    };
    select_from(account, kind, parent, query, cursor)
}

fn cursor_place(account: &Account, kind: &str, id: &str, param: &str) -> Result<Place, ApiError> {
    let place = account.kinds.get(kind).and_then(|collection| collection.place(id));
    place.ok_or_else(|| ApiError::no_such_reference(kind, id, param))
}

fn select_from(
    account: &mut Account,
    kind: &'static str,
    parent: Option<(&'static str, &str)>,
    query: &ListQuery,
    cursor: Option<Place>,
) -> Result<Page<Bytes>, ApiError> {
    let now = account.now();
    let Some(collection) = account.kinds.get_mut(kind) else {
        return Ok(Page { items: Vec::new(), has_more: false, last: None });
    };
    let mut filters = query.filters.clone();
    let index = match parent {
        Some((property, id)) => Some((property, id.to_owned())),
        None => take_index(kind, &mut filters),
    };
    if let Some((name, _)) = &index {
        collection.ensure_index(name);
    }
    let candidates = candidates(collection, kind, index.as_ref(), query, cursor);
    let mut found = Vec::with_capacity(query.limit + 1);
    for place in candidates {
        let Some(entry) = collection.entries.get(&place) else { continue };
        let is_shown = match entry.omission {
            Omission::Always => false,
            Omission::None if filters.is_empty() => true,
            omission => {
                let value = entry.value();
                let left_out =
                    omission == Omission::ByDefault && is_left_out(kind, &value, &query.filters, parent.is_some());
                !left_out && passes(kind, &value, Some(entry), &filters, now)
            }
        };
        if is_shown {
            found.push((place, entry.shown().clone()));
            if found.len() > query.limit {
                break;
            }
        }
    }
    let has_more = found.len() > query.limit;
    found.truncate(query.limit);
    if query.is_ascending() {
        found.reverse();
    }
    let last = found.last().map(|(place, _)| *place);
    Ok(Page { items: found.into_iter().map(|(_, stored)| stored).collect(), has_more, last })
}

/// Takes one filter that an index answers out of the others.
fn take_index(kind: &'static str, filters: &mut Map<String, Value>) -> Option<(&'static str, String)> {
    let list = billhook_stripe::catalogue::kind_of(kind)?.list.as_ref()?;
    let names = list.required_query.iter().chain(&list.filters);
    let name = names.copied().find(|name| filters.get(*name).is_some_and(|value| is_indexable(kind, name, value)))?;
    let value = filters.remove(name)?;
    Some((name, value.as_str()?.to_owned()))
}

/// The places that come into question, in the order in which the page is filled.
fn candidates<'a>(
    collection: &'a Collection,
    kind: &str,
    index: Option<&(&'static str, String)>,
    query: &ListQuery,
    cursor: Option<Place>,
) -> Box<dyn Iterator<Item = Place> + 'a> {
    let range = query.bounds(cursor);
    if is_empty_range(&range) {
        return Box::new(std::iter::empty());
    }
    let by_clock = matches!(kind, "customer" | "subscription" | "quote") && query.filters.contains_key("test_clock");
    let set = match index {
        Some((name, value)) => match collection.indexed(name, value) {
            None => return Box::new(std::iter::empty()),
            found => found,
        },
        // What is under a test clock is left out by default, and there is little of it.
        None => by_clock.then(|| collection.omitted()),
    };
    match (set, query.is_ascending()) {
        (Some(set), true) => Box::new(set.range(range).copied()),
        (Some(set), false) => Box::new(set.range(range).rev().copied()),
        (None, true) => Box::new(collection.entries.range(range).map(|(place, _)| *place)),
        (None, false) => Box::new(collection.entries.range(range).rev().map(|(place, _)| *place)),
    }
}

/// Whether nothing can lie in a range, for which the standard library would panic.
pub(super) fn is_empty_range(range: &(std::ops::Bound<Place>, std::ops::Bound<Place>)) -> bool {
    use std::ops::Bound::{Excluded, Included, Unbounded};
    match range {
        (Included(low), Included(high)) => low > high,
        (Included(low) | Excluded(low), Included(high) | Excluded(high)) => low >= high,
        (Unbounded, _) | (_, Unbounded) => false,
    }
}

/// Separates the token of a v2 page from the other parameters.
pub(super) fn split_page_token(params: &Params) -> Result<(Option<Place>, Params), ApiError> {
    let mut rest = params.values().clone();
    let token = rest.remove("page");
    let rest = params.nested(&rest);
    let Some(token) = token.as_ref().and_then(Value::as_str) else {
        return Ok((None, rest));
    };
    let place = token.strip_prefix("page_").and_then(|token| {
        let (created, sequence) = token.split_once('_')?;
        Some((created.parse().ok()?, sequence.parse().ok()?))
    });
    place
        .map(|place| (Some(place), rest))
        .ok_or_else(|| ApiError::parameter("parameter_invalid", "page", "Invalid page token."))
}

/// The address of the page after `last`, with the other parameters kept.
pub(super) fn next_page_url(path: &str, params: &Params, last: Place) -> String {
    let mut url = format!("{path}?page=page_{}_{}", last.0, last.1);
    for (name, value) in params.values() {
        crate::params::push_query(&mut url, name, value);
    }
    url
}
