//! Coupons, promotion codes and the discounts they give.

use serde_json::{Value, json};

use super::calendar::{Interval, plus};
use super::fields::Fields;
use super::record::{add, change, deleted, made, named};
use super::take::{Take, take};
use super::timing::{later, now_of};
use crate::account::Account;
use crate::error::ApiError;
use crate::params::Params;
use crate::routes::{WriteRoute, delete, post};

pub(super) static ROUTES: &[WriteRoute] = &[
    post("/v1/coupons", create_coupon),
    post("/v1/coupons/{id}", update_coupon),
    delete("/v1/coupons/{id}", remove_coupon),
    post("/v1/promotion_codes", create_promotion_code),
    post("/v1/promotion_codes/{id}", update_promotion_code),
];

fn create_coupon(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let chosen = params.text("id").filter(|id| !id.is_empty());
    if let Some(id) = chosen.filter(|id| account.get("coupon", id).is_some()) {
        return Err(ApiError::parameter("resource_already_exists", "id", format!("Coupon already exists: {id}")));
    }
    if params.has("percent_off") == params.has("amount_off") {
        return Err(ApiError::invalid("You must pass either percent_off or amount_off, and not both."));
    }
    let mut id = chosen.unwrap_or_default().to_owned();
    if id.is_empty() {
        account.random().push_letters(&mut id, 8);
    }
    let now = account.now();
    let mut coupon = made(account, "coupon", now, json!({ "id": id }));
    let table = &[
        ("amount_off", Take::Integer),
        ("currency", Take::Text),
        ("duration", Take::Text),
        ("duration_in_months", Take::Integer),
        ("max_redemptions", Take::Integer),
        ("metadata", Take::Metadata),
        ("name", Take::Text),
        ("percent_off", Take::Number),
        ("redeem_by", Take::Integer),
    ];
    take(params, table, &mut coupon)?;
    Ok(add(account, coupon, Some("coupon.created")))
}

fn update_coupon(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let table = &[("metadata", Take::Metadata), ("name", Take::Text)];
    super::plain::update(account, params, "coupon", Some("coupon.updated"), table)
}

fn remove_coupon(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let id = params.path("id");
    account.remove("coupon", id, Some("coupon.deleted"))?;
    Ok(deleted("coupon", id))
}

fn create_promotion_code(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let within = params.hash("promotion").and_then(|promotion| promotion.get("coupon")).and_then(Value::as_str);
    let coupon =
        within.or_else(|| params.text("coupon")).ok_or_else(|| ApiError::missing_parameter("promotion[coupon]"))?;
    named(account, "coupon", coupon, "promotion[coupon]")?;
    let mut code = String::new();
    account.random().push_letters(&mut code, 8);
    let with = json!({ "code": code.to_uppercase(), "promotion": { "coupon": coupon, "type": "coupon" } });
    let now = account.now();
    let mut promotion = made(account, "promotion_code", now, with);
    let table = &[
        ("active", Take::Boolean),
        ("code", Take::Text),
        ("customer", Take::Text),
        ("expires_at", Take::Integer),
        ("max_redemptions", Take::Integer),
        ("metadata", Take::Metadata),
        ("restrictions", Take::Merge),
    ];
    take(params, table, &mut promotion)?;
    Ok(add(account, promotion, Some("promotion_code.created")))
}

fn update_promotion_code(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let table = &[("active", Take::Boolean), ("metadata", Take::Metadata), ("restrictions", Take::Merge)];
    super::plain::update(account, params, "promotion_code", Some("promotion_code.updated"), table)
}

/// The coupon that a write names, by `coupon` or by `discounts[0][coupon]` or `discounts[0][promotion_code]`: (coupon, promotion code).
pub(super) fn wanted(account: &Account, params: &Params) -> Result<Option<(Value, Option<String>)>, ApiError> {
    let discount = params.array("discounts").first().cloned().unwrap_or_default();
    let code =
        discount.reference("promotion_code").or_else(|| params.text("promotion_code")).filter(|code| !code.is_empty());
    if let Some(code) = code {
        let promotion = named(account, "promotion_code", code, "discounts[0][promotion_code]")?;
        let coupon = promotion.value("promotion").reference("coupon").unwrap_or_default().to_owned();
        return Ok(Some((redeemable(account, &coupon)?, Some(code.to_owned()))));
    }
    let coupon = discount.reference("coupon").or_else(|| params.text("coupon")).filter(|coupon| !coupon.is_empty());
    coupon.map(|coupon| Ok((redeemable(account, coupon)?, None))).transpose()
}

fn redeemable(account: &Account, id: &str) -> Result<Value, ApiError> {
    let coupon = named(account, "coupon", id, "coupon")?;
    if coupon.flag("valid") {
        return Ok(coupon);
    }
    Err(ApiError::parameter("coupon_expired", "coupon", format!("Coupon expired: {id}")))
}

/// Gives a customer, or one of the subscriptions, the discount of a coupon. Gives the discount.
pub(super) fn give(
    account: &mut Account,
    customer: &str,
    subscription: Option<&str>,
    wanted: &(Value, Option<String>),
) -> Value {
    let (coupon, code) = wanted;
    let now = now_of(account, Some(customer));
    let months = coupon.time("duration_in_months").filter(|_| coupon.text("duration") == "repeating");
    let end = months.map(|months| plus(now, Interval { unit: "month", count: 1 }, months));
    let with = json!({
        "customer": customer, "end": end, "promotion_code": code, "source": { "coupon": coupon.value("id"), "type": "coupon" },
        "start": now, "subscription": subscription,
    });
    let discount = made(account, "discount", now, with);
    let discount = add(account, discount, Some("customer.discount.created"));
    redeem(account, coupon, code.as_deref());
    if let Some(end) = end {
        let id = discount.text("id").to_owned();
        later(account, Some(customer), end, move |account| self::end(account, &id));
    }
    discount
}

fn redeem(account: &mut Account, coupon: &Value, code: Option<&str>) {
    let times = coupon.int("times_redeemed") + 1;
    let valid = coupon.time("max_redemptions").is_none_or(|most| times < most);
    let with = json!({ "times_redeemed": times, "valid": valid });
    change(account, "coupon", coupon.text("id"), Some("coupon.updated"), with);
    if let Some(promotion) = code.and_then(|code| account.get("promotion_code", code)) {
        let with = json!({ "times_redeemed": promotion.int("times_redeemed") + 1 });
        change(account, "promotion_code", promotion.text("id"), Some("promotion_code.updated"), with);
    }
}

/// The coupon of a discount.
pub(super) fn coupon_of(account: &Account, discount: &str) -> Option<Value> {
    let discount = account.get("discount", discount)?;
    account.get("coupon", discount.value("source").reference("coupon")?)
}

/// The discounts of a new invoice: the subscription's, else the customer's.
pub(super) fn for_invoice(account: &Account, customer: &Value, subscription: Option<&Value>) -> Value {
    let own = subscription.map_or(&[][..], |subscription| subscription.elements("discounts"));
    if !own.is_empty() {
        return own.to_vec().into();
    }
    let standing = customer.value("discount").reference("id").filter(|id| account.get("discount", id).is_some());
    standing.into_iter().collect::<Vec<_>>().into()
}

/// A discount that is given once ends with its first invoice.
pub(super) fn used_by_invoice(account: &mut Account, invoice: &Value) {
    for id in invoice.elements("discounts").iter().filter_map(Value::as_str) {
        if coupon_of(account, id).is_some_and(|coupon| coupon.text("duration") == "once") {
            end(account, id);
        }
    }
}

/// Ends a discount.
pub(super) fn end(account: &mut Account, id: &str) {
    let Ok(discount) = account.remove("discount", id, Some("customer.discount.deleted")) else { return };
    if let Some(subscription) = discount.reference("subscription") {
        let _ = account.update(
            "subscription",
            subscription,
            super::subscription::updated(account, subscription),
            |subscription| {
                if let Some(Value::Array(discounts)) = subscription.get_mut("discounts") {
                    discounts.retain(|discount| discount.as_str() != Some(id));
                }
            },
        );
    } else if let Some(customer) = discount.reference("customer") {
        change(account, "customer", customer, Some("customer.updated"), json!({ "discount": null }));
    }
}
