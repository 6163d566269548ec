//! Storing, changing and finding objects.

use billhook_stripe::catalogue;
use serde_json::{Value, json};

use super::shapes::{Object, set, shape};
use crate::account::Account;
use crate::error::ApiError;

/// A new object of a kind made at `at` (Unix seconds), not yet stored: complete, with an id of its own unless `with` gives one.
pub(crate) fn made(account: &mut Account, kind: &str, at: i64, with: Value) -> Object {
    let mut object = shape(kind, with);
    if object.get("id").and_then(Value::as_str) == Some("") {
        let prefix = catalogue::kind_of(kind).and_then(|kind| kind.prefixes.first().copied()).unwrap_or("obj_");
        object.insert("id".to_owned(), account.new_id(prefix).into());
    }
    for name in ["created", "livemode"] {
        if object.contains_key(name) {
            let value = if name == "created" { json!(at) } else { json!(account.livemode()) };
            object.insert(name.to_owned(), value);
        }
    }
    object
}

/// Stores a new object, with an event about it, and gives it back.
pub(crate) fn add(account: &mut Account, object: Object, event: Option<&str>) -> Value {
    let object = Value::Object(object);
    account.insert(object.clone(), event);
    object
}

/// Sets properties of an object that exists, with an event if anything changed. Gives the changed object, or null when there is none.
pub(crate) fn change(account: &mut Account, kind: &str, id: &str, event: Option<&str>, with: Value) -> Value {
    account.update(kind, id, event, |object| set(object, with)).unwrap_or(Value::Null)
}

/// The object that a parameter names.
///
/// # Errors
/// 400 `resource_missing`.
pub(crate) fn named(account: &Account, kind: &str, id: &str, param: &str) -> Result<Value, ApiError> {
    account.get(kind, id).ok_or_else(|| ApiError::no_such_reference(kind, id, param))
}

/// The answer about an object that was deleted.
pub(crate) fn deleted(kind: &str, id: &str) -> Value {
    json!({ "id": id, "object": kind, "deleted": true })
}
