//! The items of a subscription, as a write asks for them.

use serde_json::{Map, Value, json};

use crate::account::Account;
use crate::business::calendar::Interval;
use crate::business::fields::Fields;
use crate::business::price::{self, interval_of};
use crate::business::record::{made, named};
use crate::business::shapes::set;
use crate::business::take::{Take, take};
use crate::error::ApiError;
use crate::params::{Params, integer};

/// Most items of a subscription.
const ITEMS_MAX: usize = 100;

/// New items for the prices in `items[]` (or a legacy `plan`), without periods.
pub(super) fn wanted(account: &mut Account, params: &Params, at: i64) -> Result<Vec<Value>, ApiError> {
    let mut sent = params.array("items").to_vec();
    if let (true, Some(plan)) = (sent.is_empty(), params.text("plan")) {
        sent.push(json!({ "price": plan, "quantity": params.get("quantity") }));
    }
    if sent.is_empty() {
        return Err(ApiError::missing_parameter("items"));
    }
    if sent.len() > ITEMS_MAX {
        return Err(ApiError::invalid(format!("A subscription can have at most {ITEMS_MAX} items.")));
    }
    let items = sent.iter().enumerate().map(|(at_index, sent)| {
        let sent = sent.as_object().cloned().unwrap_or_default();
        new_item(account, params, &sent, &format!("items[{at_index}]"), at)
    });
    let items = items.collect::<Result<Vec<_>, _>>()?;
    check_together(&items)?;
    Ok(items)
}

/// One new item.
pub(super) fn new_item(
    account: &mut Account,
    params: &Params,
    sent: &Map<String, Value>,
    param: &str,
    at: i64,
) -> Result<Value, ApiError> {
    let price = price_of(account, params, sent, param)?;
    let quantity = integer(sent.get("quantity"), &format!("{param}[quantity]"))?.unwrap_or(1);
    let with = json!({ "plan": account.get("plan", price.text("id")), "price": price, "quantity": quantity });
    let mut item = made(account, "subscription_item", at, with);
    take(&params.nested(sent), &[("metadata", Take::Metadata)], &mut item)?;
    Ok(Value::Object(item))
}

/// The recurring price that an item names, or makes with `price_data`.
pub(super) fn price_of(
    account: &mut Account,
    params: &Params,
    sent: &Map<String, Value>,
    param: &str,
) -> Result<Value, ApiError> {
    let name = ["price", "plan"].iter().find_map(|name| sent.get(*name).and_then(Value::as_str));
    let price = match (name, sent.get("price_data").and_then(Value::as_object)) {
        (Some(name), _) => named(account, "price", name, &format!("{param}[price]"))?,
        (None, Some(data)) => {
            let product = data.get("product").and_then(Value::as_str).unwrap_or_default();
            named(account, "product", product, &format!("{param}[price_data][product]"))?;
            price::make(account, &params.nested(data), product)?
        }
        (None, None) => return Err(ApiError::missing_parameter(&format!("{param}[price]"))),
    };
    if interval_of(&price).is_none() {
        let message =
            "The price specified is set to `type=one_time` but this field only accepts prices with `type=recurring`.";
        return Err(ApiError { param: Some(format!("{param}[price]")), ..ApiError::invalid(message) });
    }
    if !price.flag("active") {
        let message = format!("The price specified is inactive: {}.", price.text("id"));
        return Err(ApiError { param: Some(format!("{param}[price]")), ..ApiError::invalid(message) });
    }
    Ok(price)
}

/// All items have one currency and one interval.
pub(super) fn check_together(items: &[Value]) -> Result<(), ApiError> {
    let Some((first, rest)) = items.split_first() else { return Ok(()) };
    let terms = |item: &Value| {
        let price = item.value("price");
        let interval = interval_of(price).map(|interval| (interval.unit.to_owned(), interval.count));
        (price.text("currency").to_owned(), interval)
    };
    if rest.iter().all(|item| terms(item) == terms(first)) {
        return Ok(());
    }
    Err(ApiError::invalid("All items of a subscription need prices of one currency and one billing interval."))
}

/// Gives items their subscription and period.
pub(super) fn place(items: Vec<Value>, subscription: &str, (start, end): (i64, i64)) -> Value {
    let data = items
        .into_iter()
        .map(|mut item| {
            if let Value::Object(item) = &mut item {
                let with =
                    json!({ "current_period_end": end, "current_period_start": start, "subscription": subscription });
                set(item, with);
            }
            item
        })
        .collect();
    crate::business::shapes::list(data, format!("/v1/subscription_items?subscription={subscription}"))
}

/// How often a subscription renews: the interval of its first item.
pub(super) fn interval(subscription: &Value) -> Interval<'_> {
    let first = subscription.elements("items").first();
    first.and_then(|item| interval_of(item.value("price"))).unwrap_or(Interval { unit: "month", count: 1 })
}

/// The current period of a subscription.
pub(super) fn period(subscription: &Value) -> (i64, i64) {
    let first = subscription.elements("items").first();
    first.map_or((0, 0), |item| (item.int("current_period_start"), item.int("current_period_end")))
}
