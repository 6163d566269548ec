//! Features, which products have them, and which customers may use them.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::fields::Fields;
use super::record::{add, deleted, made, named};
use super::shapes::{list, set, shape};
use super::take::{Take, take};
use crate::account::Account;
use crate::error::ApiError;
use crate::params::Params;
use crate::routes::{WriteRoute, delete, post};

pub(super) static ROUTES: &[WriteRoute] = &[
    post("/v1/entitlements/features", create_feature),
    post("/v1/entitlements/features/{id}", update_feature),
    post("/v1/products/{id}/features", add_to_product),
    delete("/v1/products/{id}/features/{feature}", remove_from_product),
];

fn create_feature(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    params.required("name")?;
    params.required("lookup_key")?;
    let mut feature = made(account, "entitlements.feature", 0, json!({}));
    take(params, &[("lookup_key", Take::Text), ("metadata", Take::Metadata), ("name", Take::Text)], &mut feature)?;
    Ok(add(account, feature, None))
}

fn update_feature(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let table = &[("active", Take::Boolean), ("metadata", Take::Metadata), ("name", Take::Text)];
    super::plain::update(account, params, "entitlements.feature", None, table)
}

fn add_to_product(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let product = params.path("id");
    account.require("product", product, "id")?;
    let feature =
        named(account, "entitlements.feature", params.required("entitlement_feature")?, "entitlement_feature")?;
    let attached = made(account, "product_feature", 0, json!({ "entitlement_feature": feature }));
    let attached = Value::Object(attached);
    let id = account.insert_below(Some(product), attached.clone(), None);
    account.business.features_of_product.entry(product.to_owned()).or_default().push(id);
    Ok(attached)
}

fn remove_from_product(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let (product, id) = (params.path("id"), params.path("feature"));
    account.remove("product_feature", id, None)?;
    if let Some(features) = account.business.features_of_product.get_mut(product) {
        features.retain(|feature| feature != id);
    }
    Ok(deleted("product_feature", id))
}

/// Gives a customer the features of what is subscribed to, and takes the others away, with one event if anything changed.
pub(super) fn refresh(account: &mut Account, customer: &str) {
    if account.count("product_feature") == 0 {
        return;
    }
    let due = features(account, customer);
    let held: BTreeMap<String, Value> = account
        .business
        .entitlements
        .get(customer)
        .into_iter()
        .flatten()
        .filter_map(|id| account.get("entitlements.active_entitlement", id))
        .map(|held| (held.text("feature").to_owned(), held))
        .collect();
    if due.keys().eq(held.keys()) {
        return;
    }
    let mut now_held = Vec::new();
    for (feature, key) in &due {
        let entitlement = match held.get(feature) {
            Some(entitlement) => entitlement.clone(),
            None => grant(account, customer, feature, key),
        };
        now_held.push(entitlement);
    }
    for (feature, entitlement) in &held {
        if !due.contains_key(feature) {
            let _ = account.remove("entitlements.active_entitlement", entitlement.text("id"), None);
        }
    }
    let ids = now_held.iter().map(|held| held.text("id").to_owned()).collect();
    account.business.entitlements.insert(customer.to_owned(), ids);
    tell(account, customer, now_held);
}

/// Features due to a customer: id and lookup key.
fn features(account: &mut Account, customer: &str) -> BTreeMap<String, String> {
    let mut due = BTreeMap::new();
    for subscription in account.find("subscription", "customer", customer) {
        if !matches!(subscription.text("status"), "active" | "trialing" | "past_due") {
            continue;
        }
        for item in subscription.elements("items") {
            let product = item.value("price").reference("product").unwrap_or_default();
            let features = account.business.features_of_product.get(product).cloned().unwrap_or_default();
            for feature in features.iter().filter_map(|id| account.get("product_feature", id)) {
                let feature = feature.value("entitlement_feature");
                due.insert(feature.text("id").to_owned(), feature.text("lookup_key").to_owned());
            }
        }
    }
    due
}

fn grant(account: &mut Account, customer: &str, feature: &str, lookup_key: &str) -> Value {
    let with = json!({ "feature": feature, "lookup_key": lookup_key });
    let entitlement = Value::Object(made(account, "entitlements.active_entitlement", 0, with));
    account.insert_below(Some(customer), entitlement.clone(), None);
    entitlement
}

fn tell(account: &mut Account, customer: &str, held: Vec<Value>) {
    const KIND: &str = "entitlements.active_entitlement_summary";
    let entitlements = list(held, format!("/v1/customer/{customer}/entitlements"));
    let with = json!({ "customer": customer, "entitlements": entitlements, "livemode": account.livemode() });
    let summary = Value::Object(shape(KIND, with));
    let empty = json!({ "entitlements": list(Vec::new(), format!("/v1/customer/{customer}/entitlements")) });
    let mut before = account.get(KIND, customer).unwrap_or_else(|| summary.clone());
    if let (Value::Object(before), None) = (&mut before, account.get(KIND, customer)) {
        set(before, empty);
    }
    account.insert(summary.clone(), None);
    account.emit("entitlements.active_entitlement_summary.updated", &summary, Some(&before));
}
