//! `/v1/subscription_items`: the items of a subscription one by one.

use serde_json::{Map, Value, json};

use super::change;
use crate::account::Account;
use crate::business::fields::Fields;
use crate::business::record::deleted;
use crate::error::ApiError;
use crate::params::Params;
use crate::routes::{WriteRoute, delete, post};

pub(in crate::business) static ROUTES: &[WriteRoute] = &[
    post("/v1/subscription_items", create),
    post("/v1/subscription_items/{id}", update),
    delete("/v1/subscription_items/{id}", remove),
];

/// Every change of an item is a change of its subscription.
fn change_subscription(
    account: &mut Account,
    params: &Params,
    subscription: &str,
    item: Value,
) -> Result<Value, ApiError> {
    let mut sent = Map::from_iter([("items".to_owned(), json!([item]))]);
    for name in ["proration_behavior", "payment_behavior"] {
        if let Some(value) = params.get(name) {
            sent.insert(name.to_owned(), value.clone());
        }
    }
    let path = vec![("id".to_owned(), subscription.to_owned())];
    change::update(account, &Params::new(path, sent))
}

fn create(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let subscription = params.required("subscription")?.to_owned();
    let before = account.require("subscription", &subscription, "subscription")?;
    let changed = change_subscription(account, params, &subscription, Value::Object(params.values().clone()))?;
    let known: Vec<&str> = before.elements("items").iter().map(|item| item.text("id")).collect();
    let new = changed.elements("items").iter().find(|item| !known.contains(&item.text("id")));
    new.cloned().ok_or_else(|| ApiError::invalid("The subscription item was not created."))
}

/// The subscription that has an item.
fn owner(account: &Account, item: &str) -> Result<Value, ApiError> {
    let has = |subscription: &Value| subscription.elements("items").iter().any(|held| held.text("id") == item);
    account.all("subscription").rev().find(has).ok_or_else(|| ApiError::no_such("subscription_item", item, "id"))
}

fn update(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let id = params.path("id");
    let subscription = owner(account, id)?;
    let mut item = params.values().clone();
    item.insert("id".to_owned(), id.into());
    let changed = change_subscription(account, params, subscription.text("id"), Value::Object(item))?;
    let item = changed.elements("items").iter().find(|item| item.text("id") == id);
    item.cloned().ok_or_else(|| ApiError::no_such("subscription_item", id, "id"))
}

fn remove(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let id = params.path("id");
    let subscription = owner(account, id)?;
    change_subscription(account, params, subscription.text("id"), json!({ "deleted": "true", "id": id }))?;
    Ok(deleted("subscription_item", id))
}
