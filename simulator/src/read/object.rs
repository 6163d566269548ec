//! How an object is shown: in the request's version, embedded lists composed, ids expanded.

use billhook_stripe::catalogue;
use bytes::Bytes;
use serde_json::{Value, json};

use super::{View, expand};
use crate::account::collection::{Omission, Place, parse};
use crate::account::embedded::{Elements, Embedded, cut, of_kind, owning, shown};
use crate::account::{Account, kind_name, to_bytes};
use crate::error::ApiError;
use crate::versions;

/// Kinds whose reads still answer after the deletion.
const STUBBED: [&str; 24] = [
    "account",
    "apple_pay_domain",
    "application",
    "bank_account",
    "card",
    "coupon",
    "customer",
    "discount",
    "invoice",
    "invoiceitem",
    "person",
    "plan",
    "price",
    "product",
    "product_feature",
    "radar.value_list",
    "radar.value_list_item",
    "subscription_item",
    "tax_id",
    "terminal.configuration",
    "terminal.location",
    "terminal.reader",
    "test_helpers.test_clock",
    "webhook_endpoint",
];

/// What a deleted object of some kinds leaves.
pub(crate) fn deletion_stub(kind: &str, id: &str) -> Option<Value> {
    STUBBED.contains(&kind).then(|| json!({"id": id, "object": kind, "deleted": true}))
}

/// Reads one object of one of several kinds.
pub(crate) fn retrieve(account: &mut Account, kinds: &[&str], id: &str, view: View<'_>) -> Result<Bytes, ApiError> {
    for kind in kinds {
        if let Some(entry) = account.kinds.get(kind).and_then(|collection| collection.get(id)) {
            let bytes = entry.shown().clone();
            return show_bytes(account, kind, &bytes, view);
        }
        if let Some(element) = owned_element(account, kind, id) {
            return show(account, element, view);
        }
        if let Some(stub) = deletion_stub(kind, id).filter(|_| account.is_deleted(kind, id)) {
            return Ok(to_bytes(&stub));
        }
    }
    Err(ApiError::no_such(kinds.first().copied().unwrap_or("object"), id, "id"))
}

/// An element that lives inside of another object and has a path of its own: a subscription's item.
fn owned_element(account: &mut Account, kind: &str, id: &str) -> Option<Value> {
    let embedded = owning(kind).find(|embedded| embedded.property == "items")?;
    let parent = account.find(embedded.kind, "items", id).pop()?;
    let elements = parent[embedded.property]["data"].as_array()?;
    elements.iter().find(|element| element["id"] == id).cloned()
}

/// Shows what is stored for an object: as it is when nothing has to be done to it.
pub(crate) fn show_bytes(account: &mut Account, kind: &str, stored: &Bytes, view: View<'_>) -> Result<Bytes, ApiError> {
    if view.expand.is_empty() && versions::is_newest(view.version) && !has_composed(kind) {
        return Ok(stored.clone());
    }
    show(account, parse(stored), view)
}

/// Shows an object of the newest shape.
pub(crate) fn show(account: &mut Account, object: Value, view: View<'_>) -> Result<Bytes, ApiError> {
    let mut object = in_version(account, object, view.version);
    for path in view.expand {
        let steps: Vec<&str> = path.split('.').collect();
        expand::expand(account, &mut object, &steps, view.version, path)?;
    }
    Ok(to_bytes(&object))
}

/// An object with its embedded lists as a version shows them.
pub(crate) fn in_version(account: &mut Account, object: Value, version: &str) -> Value {
    let Some(kind) = object["object"].as_str().and_then(kind_name) else {
        return object;
    };
    let mut object = shown(kind, &object).unwrap_or(object);
    for embedded in of_kind(kind).filter(|embedded| is_composed(embedded)) {
        if let Some(list) = compose(account, embedded, &object, version) {
            object[embedded.property] = list;
        }
    }
    if versions::is_newest(version) { object } else { versions::render(&object, version, account) }
}

fn has_composed(kind: &str) -> bool {
    of_kind(kind).any(is_composed)
}

fn is_composed(embedded: &Embedded) -> bool {
    !embedded.hidden && matches!(embedded.elements, Elements::Apart(..))
}

/// The embedded list of an object with its first elements; `None` when the object has none.
pub(crate) fn compose(account: &mut Account, embedded: &Embedded, object: &Value, version: &str) -> Option<Value> {
    let id = object["id"].as_str()?.to_owned();
    let url = embedded.url_of(object);
    match embedded.elements {
        Elements::Own(_) => {
            let whole = account.get(embedded.kind, &id)?;
            let list = whole.get(embedded.property).filter(|list| list["data"].is_array())?;
            Some(cut(list, &url))
        }
        Elements::Apart(kinds, property) => {
            let elements = below(account, kinds, property, &id);
            let elements: Vec<Value> =
                elements.into_iter().map(|(_, element)| in_version(account, element, version)).collect();
            Some(cut(&json!({ "data": elements }), &url))
        }
    }
}

/// The listed objects of some kinds that name another object in a property, newest first.
pub(crate) fn below(
    account: &mut Account,
    kinds: &[&'static str],
    property: &'static str,
    parent: &str,
) -> Vec<(Place, Value)> {
    let mut found = Vec::new();
    for kind in kinds {
        let Some(collection) = account.kinds.get_mut(kind) else { continue };
        collection.ensure_index(property);
        for place in collection.indexed(property, parent).into_iter().flatten() {
            let Some(entry) = collection.entries.get(place) else { continue };
            let value = entry.value();
            let is_ended = *kind == "subscription" && value["status"] == "canceled";
            if entry.omission != Omission::Always && !is_ended {
                found.push((*place, value));
            }
        }
    }
    found.sort_by_key(|(place, _)| std::cmp::Reverse(*place));
    found
}

/// Finds an object by its id alone; a deleted one as its stub.
pub(crate) fn by_id(account: &Account, id: &str) -> Option<Value> {
    let likely = match catalogue::recognise(id) {
        catalogue::Recognition::One(kind) => vec![kind],
        catalogue::Recognition::Several(kinds) => kinds,
        catalogue::Recognition::Unknown => Vec::new(),
    };
    let likely: Vec<&str> = likely.iter().map(|kind| kind.object).collect();
    let others = account.kinds.keys().copied().filter(|kind| !likely.contains(kind));
    let kinds: Vec<&str> = likely.iter().copied().chain(others).collect();
    let stored = kinds.iter().find_map(|kind| account.get(kind, id));
    stored.or_else(|| kinds.iter().find(|kind| account.is_deleted(kind, id)).and_then(|kind| deletion_stub(kind, id)))
}

/// Shows what a write answers: an object, a deletion stub, or a list of objects.
pub(crate) fn show_result(account: &mut Account, mut result: Value, view: View<'_>) -> Result<Bytes, ApiError> {
    if result["deleted"] == true {
        return Ok(to_bytes(&result));
    }
    if result["object"] == "list"
        && let Some(Value::Array(elements)) = result.get_mut("data")
    {
        for element in elements {
            *element = in_version(account, element.take(), view.version);
        }
        return Ok(to_bytes(&result));
    }
    show(account, result, view)
}
