//! Prices, and the plans that recurring prices also are.

use serde_json::{Map, Value, json};

use super::calendar::Interval;
use super::fields::Fields;
use super::record::{add, change, deleted, made, named};
use super::take::{Take, take};
use crate::account::Account;
use crate::error::ApiError;
use crate::params::{Params, integer};
use crate::routes::{WriteRoute, delete, post};

pub(super) static ROUTES: &[WriteRoute] = &[
    post("/v1/prices", create),
    post("/v1/prices/{id}", update),
    post("/v1/plans", create_plan),
    post("/v1/plans/{id}", update_plan),
    delete("/v1/plans/{id}", remove_plan),
];

const SETTABLE: &[(&str, Take)] = &[
    ("active", Take::Boolean),
    ("lookup_key", Take::Text),
    ("metadata", Take::Metadata),
    ("nickname", Take::Text),
    ("tax_behavior", Take::Text),
];

/// How often a recurring price recurs; `None` for a one-time price.
pub(super) fn interval_of(price: &Value) -> Option<Interval<'_>> {
    let recurring = price.value("recurring");
    let unit = recurring.value("interval").as_str()?;
    Some(Interval { unit, count: recurring.int("interval_count") })
}

fn create(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    if let Some(data) = params.hash("product_data") {
        let mut product = made_product(account, data)?;
        product.insert("active".to_owned(), true.into());
        let product = add(account, product, Some("product.created"));
        return make(account, params, product.text("id"));
    }
    let product = params.required("product")?;
    named(account, "product", product, "product")?;
    make(account, params, product)
}

fn made_product(account: &mut Account, data: &Map<String, Value>) -> Result<Map<String, Value>, ApiError> {
    let name =
        data.get("name").and_then(Value::as_str).ok_or_else(|| ApiError::missing_parameter("product_data[name]"))?;
    let now = account.now();
    Ok(made(account, "product", now, json!({ "name": name, "updated": now })))
}

/// Makes a price of a product, with its plan when it recurs. `params` as of `POST /v1/prices`.
pub(super) fn make(account: &mut Account, params: &Params, product: &str) -> Result<Value, ApiError> {
    let currency = params.required("currency")?.to_lowercase();
    let (amount, decimal) = amount_of(params)?;
    let recurring = params.hash("recurring").map(recurring_of).transpose()?;
    let now = account.now();
    let with = json!({
        "currency": currency, "product": product, "recurring": recurring,
        "type": if recurring.is_some() { "recurring" } else { "one_time" },
        "unit_amount": amount, "unit_amount_decimal": decimal,
    });
    let mut price = made(account, "price", now, with);
    take(params, SETTABLE, &mut price)?;
    let price = add(account, price, Some("price.created"));
    if recurring.is_some() {
        let plan = plan_of(account, &price);
        add(account, plan, Some("plan.created"));
    }
    Ok(price)
}

/// `unit_amount`, or `unit_amount_decimal` when it may have a fraction.
fn amount_of(params: &Params) -> Result<(Option<i64>, String), ApiError> {
    if let Some(amount) = params.integer("unit_amount")? {
        return Ok((Some(amount), amount.to_string()));
    }
    let decimal = params.text("unit_amount_decimal").ok_or_else(|| ApiError::missing_parameter("unit_amount"))?;
    let whole =
        decimal.split_once('.').map_or(Some(decimal), |(whole, rest)| rest.bytes().all(|b| b == b'0').then_some(whole));
    Ok((whole.and_then(|whole| whole.parse().ok()), decimal.to_owned()))
}

fn recurring_of(sent: &Map<String, Value>) -> Result<Value, ApiError> {
    let unit = sent
        .get("interval")
        .and_then(Value::as_str)
        .ok_or_else(|| ApiError::missing_parameter("recurring[interval]"))?;
    if !matches!(unit, "day" | "week" | "month" | "year") {
        let message = format!("Invalid recurring[interval]: must be one of day, month, week, or year, not {unit}");
        return Err(ApiError::parameter("parameter_invalid", "recurring[interval]", message));
    }
    let count = integer(sent.get("interval_count"), "recurring[interval_count]")?.unwrap_or(1);
    let trial = integer(sent.get("trial_period_days"), "recurring[trial_period_days]")?;
    Ok(json!({
        "interval": unit, "interval_count": count, "meter": null, "trial_period_days": trial, "usage_type": "licensed",
    }))
}

/// The plan that a recurring price also is. It has the same id.
fn plan_of(account: &mut Account, price: &Value) -> Map<String, Value> {
    let recurring = price.value("recurring");
    let with = json!({
        "active": price.value("active"), "amount": price.value("unit_amount"),
        "amount_decimal": price.value("unit_amount_decimal"), "currency": price.value("currency"), "id": price.value("id"),
        "interval": recurring.value("interval"), "interval_count": recurring.value("interval_count"),
        "metadata": price.value("metadata"), "nickname": price.value("nickname"), "product": price.value("product"),
        "trial_period_days": recurring.value("trial_period_days"),
    });
    made(account, "plan", price.int("created"), with)
}

fn update(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let price = super::plain::update(account, params, "price", Some("price.updated"), SETTABLE)?;
    let shared = json!({
        "active": price.value("active"), "metadata": price.value("metadata"), "nickname": price.value("nickname"),
    });
    change(account, "plan", price.text("id"), Some("plan.updated"), shared);
    Ok(price)
}

/// A plan is made as a price with the plan's id.
fn create_plan(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let currency = params.required("currency")?.to_lowercase();
    params.required("interval")?;
    let recurring = recurring_of(params.values())?;
    let amount = params.integer("amount")?.unwrap_or(0);
    let product = match (params.hash("product"), params.text("product")) {
        (Some(data), _) => {
            let product = made_product(account, data)?;
            add(account, product, Some("product.created")).text("id").to_owned()
        }
        (None, Some(id)) => named(account, "product", id, "product")?.text("id").to_owned(),
        (None, None) => return Err(ApiError::missing_parameter("product")),
    };
    let id = match params.text("id").filter(|id| !id.is_empty()) {
        Some(id) if account.get("plan", id).is_some() => {
            return Err(ApiError::parameter("resource_already_exists", "id", "Plan already exists."));
        }
        Some(id) => id.to_owned(),
        None => account.new_id("plan_"),
    };
    let now = account.now();
    let with = json!({
        "currency": currency, "id": id, "product": product, "recurring": recurring, "type": "recurring",
        "unit_amount": amount, "unit_amount_decimal": amount.to_string(),
    });
    let mut price = made(account, "price", now, with);
    take(params, SETTABLE, &mut price)?;
    let price = Value::Object(price);
    let plan = plan_of(account, &price);
    let plan = add(account, plan, Some("plan.created"));
    account.insert(price, Some("price.created"));
    Ok(plan)
}

fn update_plan(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let table = &[("active", Take::Boolean), ("metadata", Take::Metadata), ("nickname", Take::Text)];
    let plan = super::plain::update(account, params, "plan", Some("plan.updated"), table)?;
    let shared = json!({ "active": plan.value("active"), "metadata": plan.value("metadata"), "nickname": plan.value("nickname") });
    change(account, "price", plan.text("id"), Some("price.updated"), shared);
    Ok(plan)
}

fn remove_plan(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let id = params.path("id");
    account.remove("plan", id, Some("plan.deleted"))?;
    if account.get("price", id).is_some() {
        account.remove("price", id, Some("price.deleted"))?;
    }
    Ok(deleted("plan", id))
}
