//! `expand[]`: ids become objects, hidden lists are shown.

use serde_json::Value;

use super::object::{by_id, compose, in_version};
use crate::account::Account;
use crate::account::embedded::of_kind;
use crate::error::ApiError;

/// Expands one path inside of an object. `whole` is the path as it was asked for.
///
/// # Errors
/// 400 when a property on the way does not exist or is no reference.
pub(super) fn expand(
    account: &mut Account,
    at: &mut Value,
    path: &[&str],
    version: &str,
    whole: &str,
) -> Result<(), ApiError> {
    let Some((step, rest)) = path.split_first() else {
        return Ok(());
    };
    match at {
        Value::Array(elements) => {
            for element in elements {
                expand(account, element, path, version, whole)?;
            }
            return Ok(());
        }
        Value::Object(_) => {}
        // Nothing is there that could be expanded further.
        _ => return Ok(()),
    }
    let absent = at.get(step).is_none_or(Value::is_null);
    if absent && !show_hidden(account, at, step, version) {
        let is_deleted = at["deleted"] == true;
        return if at.get(step).is_some() || is_deleted { Ok(()) } else { Err(cannot(whole)) };
    }
    let Some(value) = at.get_mut(*step) else {
        return Ok(());
    };
    match value {
        Value::String(_) => resolve(account, value, version),
        Value::Array(elements) => elements.iter_mut().for_each(|element| resolve(account, element, version)),
        Value::Object(_) => {}
        _ => return Err(cannot(whole)),
    }
    expand(account, value, rest, version, whole)
}

fn cannot(path: &str) -> ApiError {
    ApiError::parameter("invalid_expand", "expand", format!("This property cannot be expanded ({path})."))
}

/// Puts a list that is hidden until it is asked for into its object.
fn show_hidden(account: &mut Account, object: &mut Value, property: &str, version: &str) -> bool {
    let kind = object["object"].as_str().unwrap_or_default();
    let Some(embedded) = of_kind(kind).find(|embedded| embedded.property == property) else {
        return false;
    };
    match compose(account, embedded, object, version) {
        None => false,
        Some(list) => {
            object[property] = list;
            true
        }
    }
}

/// Replaces an id by its object. An id that nothing has stays.
fn resolve(account: &mut Account, value: &mut Value, version: &str) {
    let found = value.as_str().and_then(|id| by_id(account, id));
    if let Some(object) = found {
        *value = in_version(account, object, version);
    }
}
