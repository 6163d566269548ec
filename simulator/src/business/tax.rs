//! Tax rates and tax ids.

use serde_json::{Value, json};

use super::fields::Fields;
use super::record::{add, change, deleted, made};
use super::take::{Take, take};
use super::timing::{later, now_of};
use crate::account::Account;
use crate::error::ApiError;
use crate::params::Params;
use crate::routes::{WriteRoute, delete, post};

pub(super) static ROUTES: &[WriteRoute] = &[
    post("/v1/tax_rates", create_rate),
    post("/v1/tax_rates/{id}", update_rate),
    post("/v1/tax_ids", create_id),
    delete("/v1/tax_ids/{id}", remove_id),
    post("/v1/customers/{customer}/tax_ids", create_id),
    delete("/v1/customers/{customer}/tax_ids/{id}", remove_id),
];

/// Seconds until the authorities have answered.
const VERIFIED_AFTER: i64 = 60;

const RATE: &[(&str, Take)] = &[
    ("active", Take::Boolean),
    ("country", Take::Text),
    ("description", Take::Text),
    ("display_name", Take::Text),
    ("jurisdiction", Take::Text),
    ("metadata", Take::Metadata),
    ("state", Take::Text),
    ("tax_type", Take::Text),
];

fn create_rate(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    params.required("display_name")?;
    params.required("percentage")?;
    let table = [RATE, &[("inclusive", Take::Boolean), ("percentage", Take::Number)]].concat();
    super::plain::create(account, params, "tax_rate", Some("tax_rate.created"), &table)
}

fn update_rate(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    super::plain::update(account, params, "tax_rate", Some("tax_rate.updated"), RATE)
}

fn create_id(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let of_path = Some(params.path("customer")).filter(|customer| !customer.is_empty());
    let owner = params.hash("owner");
    let of_owner = owner.and_then(|owner| owner.get("customer")).and_then(Value::as_str);
    let customer = of_path.or(of_owner).map(str::to_owned);
    if let Some(customer) = &customer {
        account.require("customer", customer, "customer")?;
    }
    params.required("type")?;
    let value = params.required("value")?;
    let country = value.get(..2).filter(|start| start.bytes().all(|byte| byte.is_ascii_uppercase()));
    let now = now_of(account, customer.as_deref());
    let kind = if customer.is_some() { "customer" } else { "self" };
    let verification = json!({ "status": "pending", "verified_address": null, "verified_name": null });
    let with = json!({
        "country": country, "customer": customer,
        "owner": { "customer": customer, "customer_account": null, "type": kind },
        "verification": if customer.is_some() { verification } else { Value::Null },
    });
    let mut tax_id = made(account, "tax_id", now, with);
    take(params, &[("type", Take::Text), ("value", Take::Text)], &mut tax_id)?;
    let tax_id = add(account, tax_id, customer.as_ref().map(|_| "customer.tax_id.created"));
    if customer.is_some() {
        let id = tax_id.text("id").to_owned();
        later(account, customer.as_deref(), now + VERIFIED_AFTER, move |account| verify(account, &id));
    }
    Ok(tax_id)
}

fn verify(account: &mut Account, id: &str) {
    let Some(tax_id) = account.get("tax_id", id) else { return };
    let holder =
        tax_id.reference("customer").and_then(|customer| account.get("customer", customer)).unwrap_or_default();
    let with = json!({
        "verification": { "status": "verified", "verified_address": null, "verified_name": holder.value("name") },
    });
    change(account, "tax_id", id, Some("customer.tax_id.updated"), with);
}

fn remove_id(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let id = params.path("id");
    let tax_id = account.require("tax_id", id, "id")?;
    let event = tax_id.is_set("customer").then_some("customer.tax_id.deleted");
    account.remove("tax_id", id, event)?;
    Ok(deleted("tax_id", id))
}
