//! Changes that the fault "mutate" makes to an account while it is being read.

use billhook_stripe::catalogue;
use serde_json::{Value, json};

use crate::account::embedded::{Elements, of_kind};
use crate::account::{Account, kind_name};

/// The event that tells of a change of a kind, when Stripe has one: `created`, `updated` or `deleted`.
pub(crate) fn event_of(kind: &str, change: &str) -> Option<&'static str> {
    let name = match kind {
        "subscription" | "tax_id" | "discount" => format!("customer.{kind}.{change}"),
        "dispute" => format!("charge.{kind}.{change}"),
        _ => format!("{kind}.{change}"),
    };
    catalogue::event_types().iter().find(|event| event.name == name).map(|event| event.name)
}

/// The event of a removal. A subscription's `deleted` means that it ended: it is never removed.
pub(crate) fn deletion_event(kind: &str) -> Option<&'static str> {
    event_of(kind, "deleted").filter(|_| kind != "subscription")
}

/// Creates one object of a kind from another, changes one and removes one, each with its event. Kinds that Stripe never deletes
/// lose nothing.
pub(crate) fn mutate(account: &mut Account, kind: &str) {
    let Some(kind) = kind_name(kind) else { return };
    if let Some(template) = any(account, kind) {
        create_like(account, kind, template);
    }
    if let Some(id) = any(account, kind).and_then(|object| object["id"].as_str().map(str::to_owned)) {
        let stamp = account.random().number() % 1_000_000;
        // The object was there a moment ago.
        let _ = account.update(kind, &id, event_of(kind, "updated"), |object| {
            object.insert("metadata".to_owned(), json!({"changed": stamp.to_string()}));
        });
    }
    let event = deletion_event(kind);
    if event.is_some()
        && let Some(id) = any(account, kind).and_then(|object| object["id"].as_str().map(str::to_owned))
    {
        let _ = account.remove(kind, &id, event);
    }
}

fn create_like(account: &mut Account, kind: &str, mut object: Value) {
    let old = object["id"].as_str().unwrap_or_default().to_owned();
    let id = another_id(account, &old);
    object["id"] = json!(id);
    object["created"] = json!(account.now());
    // The elements of its lists belong to it alone.
    for embedded in of_kind(kind).filter(|embedded| matches!(embedded.elements, Elements::Own(_))) {
        let url = embedded.url_of(&object);
        let Some(list) = object.get_mut(embedded.property).filter(|list| list["data"].is_array()) else { continue };
        list["url"] = json!(url);
        for element in list["data"].as_array_mut().into_iter().flatten() {
            let element_id = another_id(account, element["id"].as_str().unwrap_or_default());
            element["id"] = json!(element_id);
            for back in element.as_object_mut().into_iter().flat_map(|element| element.values_mut()) {
                if *back == json!(old) {
                    *back = json!(id);
                }
            }
        }
    }
    account.insert(object, event_of(kind, "created"));
}

/// A new id with the prefix of another.
fn another_id(account: &mut Account, id: &str) -> String {
    let prefix = id.rfind('_').and_then(|at| id.get(..=at)).unwrap_or("obj_");
    account.new_id(prefix)
}

/// One of the newest two hundred objects, those that are likely on the page after the present one included.
fn any(account: &mut Account, kind: &'static str) -> Option<Value> {
    const RECENT: u64 = 200;
    let count = account.count(kind) as u64;
    let from_end = usize::try_from(account.random().between(0, count.min(RECENT))).ok()?;
    account.recent(kind, from_end)
}
