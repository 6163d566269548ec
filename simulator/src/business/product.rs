//! Products.

use serde_json::{Value, json};

use super::fields::Fields;
use super::price;
use super::record::{add, change, deleted, made};
use super::take::{Take, take};
use crate::account::Account;
use crate::error::ApiError;
use crate::params::Params;
use crate::routes::{WriteRoute, delete, post};

pub(super) static ROUTES: &[WriteRoute] =
    &[post("/v1/products", create), post("/v1/products/{id}", update), delete("/v1/products/{id}", remove)];

const SETTABLE: &[(&str, Take)] = &[
    ("active", Take::Boolean),
    ("description", Take::Text),
    ("images", Take::Json),
    ("marketing_features", Take::Json),
    ("metadata", Take::Metadata),
    ("name", Take::Text),
    ("package_dimensions", Take::Json),
    ("shippable", Take::Boolean),
    ("statement_descriptor", Take::Text),
    ("tax_code", Take::Text),
    ("unit_label", Take::Text),
    ("url", Take::Text),
];

fn create(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    params.required("name")?;
    let chosen = params.text("id").filter(|id| !id.is_empty());
    if let Some(id) = chosen.filter(|id| account.get("product", id).is_some()) {
        return Err(ApiError::parameter("resource_already_exists", "id", format!("Product already exists: {id}")));
    }
    let now = account.now();
    let mut product = made(account, "product", now, json!({ "id": chosen.unwrap_or_default(), "updated": now }));
    take(params, &[SETTABLE, &[("type", Take::Text)]].concat(), &mut product)?;
    let product = add(account, product, Some("product.created"));
    let id = product.text("id");
    if let Some(data) = params.hash("default_price_data") {
        let price = price::make(account, &params.nested(data), id)?;
        return Ok(change(
            account,
            "product",
            id,
            Some("product.updated"),
            json!({ "default_price": price.value("id") }),
        ));
    }
    Ok(product)
}

fn update(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let id = params.path("id");
    let Value::Object(mut changed) = account.require("product", id, "id")? else {
        return Err(ApiError::no_such("product", id, "id"));
    };
    take(params, &[SETTABLE, &[("default_price", Take::Text)]].concat(), &mut changed)?;
    changed.insert("updated".to_owned(), account.now().into());
    account.update("product", id, Some("product.updated"), |product| *product = changed)
}

/// Only a product without prices can be deleted.
fn remove(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let id = params.path("id");
    account.require("product", id, "id")?;
    if !account.find("price", "product", id).is_empty() {
        return Err(ApiError::invalid(
            "This product cannot be deleted because it has one or more user-created prices.",
        ));
    }
    account.remove("product", id, Some("product.deleted"))?;
    Ok(deleted("product", id))
}
