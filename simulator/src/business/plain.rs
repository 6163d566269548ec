//! Writes that only set properties.

use serde_json::{Value, json};

use super::record::{add, made};
use super::take::{Take, take};
use crate::account::Account;
use crate::error::ApiError;
use crate::params::Params;

/// Creates an object of a kind from the parameters in a table, at the account's time.
pub(super) fn create(
    account: &mut Account,
    params: &Params,
    kind: &str,
    event: Option<&str>,
    table: &[(&str, Take)],
) -> Result<Value, ApiError> {
    let now = account.now();
    let mut object = made(account, kind, now, json!({}));
    take(params, table, &mut object)?;
    Ok(add(account, object, event))
}

/// Updates the object that the path names, from the parameters in a table.
pub(super) fn update(
    account: &mut Account,
    params: &Params,
    kind: &str,
    event: Option<&str>,
    table: &[(&str, Take)],
) -> Result<Value, ApiError> {
    let id = params.path("id");
    let Value::Object(mut changed) = account.require(kind, id, "id")? else {
        return Err(ApiError::no_such(kind, id, "id"));
    };
    take(params, table, &mut changed)?;
    account.update(kind, id, event, |object| *object = changed)
}
