//! `POST /v1/subscriptions/{id}`: other items and quantities with prorations, trials, pauses, planned ends.

use serde_json::{Map, Value, json};

use super::{SETTABLE, cycle, has_ended, items};
use crate::account::Account;
use crate::business::calendar::{long_date, period_end};
use crate::business::fields::Fields;
use crate::business::invoice::{self, Draft, Proration, amount_of};
use crate::business::money::share_in;
use crate::business::record;
use crate::business::shapes::set;
use crate::business::take::{Take, take};
use crate::business::timing::now_of;
use crate::business::{discount, entitlement, payment_method};
use crate::error::ApiError;
use crate::params::{Params, boolean, integer};

/// Whether prices or quantities changed, and whether the interval did.
#[derive(Default)]
struct ItemChange {
    items: Vec<Value>,
    changed: bool,
}

pub(super) fn update(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let id = params.path("id");
    let standing = account.require("subscription", id, "id")?;
    if has_ended(&standing) && !params.has("metadata") {
        return Err(ApiError::invalid(
            "A canceled subscription can only update its cancellation_details and metadata.",
        ));
    }
    let customer = standing.text("customer").to_owned();
    let now = now_of(account, Some(&customer));
    let Value::Object(mut changed) = standing.clone() else { return Err(ApiError::no_such("subscription", id, "id")) };
    take(params, SETTABLE, &mut changed)?;
    let table = &[("cancel_at", Take::Integer), ("pause_collection", Take::Json)];
    take(params, table, &mut changed)?;
    set_default_payment_method(account, params, &customer, &mut changed)?;
    note_cancellation(&standing, &mut changed, now);
    if let Some(coupon) = discount::wanted(account, params)? {
        let discount = discount::give(account, &customer, Some(id), &coupon);
        changed.insert("discounts".to_owned(), json!([discount.value("id")]));
    }
    let items = change_items(account, params, &standing, now)?;
    let behaviour = params.text("proration_behavior").unwrap_or("create_prorations");
    let restarts = items.changed && items::interval(&standing) != interval_of_items(&items.items)
        || params.text("billing_cycle_anchor") == Some("now");
    if items.changed {
        if behaviour != "none" && standing.text("status") != "trialing" {
            prorate(account, &standing, &items.items, now, restarts);
        }
        let placed = items::place(items.items, id, items::period(&standing));
        changed.insert("items".to_owned(), placed);
    }
    if let Some(trial_end) = new_trial_end(params, now)? {
        return change_trial(account, &standing, changed, trial_end, now);
    }
    let next = Value::Object(changed);
    if restarts {
        return restart(account, &standing, next);
    }
    let event = super::updated(account, id);
    let subscription =
        account.update("subscription", id, event, |held| *held = next.as_object().cloned().unwrap_or_default())?;
    cycle::plan_cancellation(account, &subscription);
    entitlement::refresh(account, &customer);
    if items.changed && behaviour == "always_invoice" {
        bill_pending(account, id)?;
    }
    account.require("subscription", id, "id")
}

fn set_default_payment_method(
    account: &mut Account,
    params: &Params,
    customer: &str,
    changed: &mut Map<String, Value>,
) -> Result<(), ApiError> {
    let Some(method) = params.text("default_payment_method") else { return Ok(()) };
    if method.is_empty() {
        set(changed, json!({ "default_payment_method": null }));
        return Ok(());
    }
    let mut method = payment_method::usable(account, method, "default_payment_method")?;
    if method.reference("customer").is_none() {
        method = payment_method::attach_to(account, method, customer)?;
    }
    set(changed, json!({ "default_payment_method": method.value("id") }));
    Ok(())
}

/// `canceled_at` and `cancel_at` follow from a planned end, and from taking it back.
fn note_cancellation(standing: &Value, changed: &mut Map<String, Value>, now: i64) {
    if changed.flag("cancel_at_period_end") && !standing.flag("cancel_at_period_end") {
        let mut details = changed.value("cancellation_details").clone();
        details["reason"] = "cancellation_requested".into();
        let with =
            json!({ "cancel_at": items::period(standing).1, "canceled_at": now, "cancellation_details": details });
        set(changed, with);
    } else if standing.flag("cancel_at_period_end") && !changed.flag("cancel_at_period_end") {
        let details = json!({ "comment": null, "feedback": null, "reason": null });
        set(changed, json!({ "cancel_at": null, "canceled_at": null, "cancellation_details": details }));
    } else if changed.value("cancel_at") != standing.value("cancel_at") {
        let canceled_at = changed.time("cancel_at").map(|_| now);
        set(changed, json!({ "canceled_at": canceled_at }));
    }
}

/// The items after the changes in `items[]`.
fn change_items(account: &mut Account, params: &Params, standing: &Value, now: i64) -> Result<ItemChange, ApiError> {
    let mut all = standing.elements("items").to_vec();
    for (index, sent) in params.array("items").iter().enumerate() {
        let sent = sent.as_object().cloned().unwrap_or_default();
        let param = format!("items[{index}]");
        let Some(id) = sent.get("id").and_then(Value::as_str) else {
            all.push(items::new_item(account, params, &sent, &param, now)?);
            continue;
        };
        let at = all.iter().position(|item| item.text("id") == id);
        let at = at.ok_or_else(|| ApiError::no_such_reference("subscription_item", id, &format!("{param}[id]")))?;
        if boolean(sent.get("deleted"), "deleted")? == Some(true) {
            all.remove(at);
        } else {
            change_item(account, params, &sent, &param, &mut all[at])?;
        }
    }
    if all.is_empty() {
        return Err(ApiError::invalid("A subscription must have at least one active plan."));
    }
    items::check_together(&all)?;
    let changed = all != standing.elements("items");
    Ok(ItemChange { items: all, changed })
}

/// Applies a sent change to one item.
pub(super) fn change_item(
    account: &mut Account,
    params: &Params,
    sent: &Map<String, Value>,
    param: &str,
    item: &mut Value,
) -> Result<(), ApiError> {
    if ["price", "plan", "price_data"].iter().any(|name| sent.contains_key(*name)) {
        let price = items::price_of(account, params, sent, param)?;
        item["plan"] = account.get("plan", price.text("id")).unwrap_or_default();
        item["price"] = price;
    }
    if let Some(quantity) = integer(sent.get("quantity"), &format!("{param}[quantity]"))? {
        item["quantity"] = quantity.into();
    }
    if let Value::Object(item) = item {
        take(&params.nested(sent), &[("metadata", Take::Metadata)], item)?;
    }
    Ok(())
}

fn interval_of_items(all: &[Value]) -> crate::business::calendar::Interval<'_> {
    let first = all.first().and_then(|item| crate::business::price::interval_of(item.value("price")));
    first.unwrap_or(crate::business::calendar::Interval { unit: "month", count: 1 })
}

/// Credits what was paid and will not be used, and, unless a new period begins anyway, charges what will be used instead.
fn prorate(account: &mut Account, standing: &Value, next: &[Value], now: i64, restarts: bool) {
    let before = standing.elements("items");
    let terms = |item: &Value| (item.value("price").text("id").to_owned(), item.time("quantity").unwrap_or(1));
    let same = |a: &Value, b: &Value| a.text("id") == b.text("id") && terms(a) == terms(b);
    for item in before.iter().filter(|item| restarts || !next.iter().any(|other| same(item, other))) {
        one_side(account, standing, item, now, "Unused time", -1);
    }
    for item in next.iter().filter(|item| !restarts && !before.iter().any(|other| same(item, other))) {
        one_side(account, standing, item, now, "Remaining time", 1);
    }
}

fn one_side(account: &mut Account, subscription: &Value, item: &Value, now: i64, what: &str, sign: i64) {
    let (start, end) = items::period(subscription);
    let (price, quantity) = (item.value("price"), item.time("quantity").unwrap_or(1));
    let currency = subscription.text("currency");
    let amount = sign * share_in(currency, amount_of(price, quantity), (end - now).max(0), end - start);
    let name = invoice::product_name(account, price);
    let description = match quantity {
        1 => format!("{what} on {name} after {}", long_date(now)),
        _ => format!("{what} on {quantity} × {name} after {}", long_date(now)),
    };
    let part = Proration { amount, at: now, end, description, item: item.text("id"), price, quantity };
    invoice::prorate(account, subscription, &part);
}

/// Credits what is left of the current period.
pub(super) fn credit_rest(account: &mut Account, subscription: &Value) {
    let now = now_of(account, subscription.reference("customer"));
    for item in subscription.elements("items") {
        one_side(account, subscription, item, now, "Unused time", -1);
    }
}

/// Bills at once what waits for a subscription.
pub(super) fn bill_pending(account: &mut Account, id: &str) -> Result<(), ApiError> {
    let subscription = account.require("subscription", id, "id")?;
    let customer =
        subscription.reference("customer").and_then(|customer| account.get("customer", customer)).unwrap_or_default();
    let now = now_of(account, subscription.reference("customer"));
    let about = Draft {
        customer: &customer,
        subscription: Some(&subscription),
        currency: subscription.text("currency"),
        reason: "subscription_update",
        period: (now, now),
        auto_advance: true,
        with: json!({}),
    };
    let draft = invoice::draft(account, &about, Vec::new());
    let invoice = draft.text("id");
    if !has_ended(&subscription) {
        let event = super::updated(account, id);
        record::change(account, "subscription", id, event, json!({ "latest_invoice": invoice }));
    }
    invoice::finalize(account, invoice);
    invoice::collect(account, invoice);
    Ok(())
}

/// A new interval, or an anchor of now: a new period begins at once.
fn restart(account: &mut Account, standing: &Value, next: Value) -> Result<Value, ApiError> {
    let id = standing.text("id");
    // The draft is made from the new items; nothing is told before the whole change is done.
    account.update("subscription", id, None, |held| *held = next.as_object().cloned().unwrap_or_default())?;
    begin_cycle_from(account, standing, &next, json!({}), "customer.subscription.updated")
}

/// Begins a new period now and bills it at once.
pub(super) fn begin_cycle(
    account: &mut Account,
    subscription: &Value,
    with: Value,
    event: &str,
) -> Result<Value, ApiError> {
    begin_cycle_from(account, subscription, subscription, with, event)
}

/// As [`begin_cycle`], where `before` is what the event compares with.
fn begin_cycle_from(
    account: &mut Account,
    before: &Value,
    subscription: &Value,
    with: Value,
    event: &str,
) -> Result<Value, ApiError> {
    let id = subscription.text("id");
    let customer = subscription.text("customer");
    let now = now_of(account, Some(customer));
    let end = period_end(now, items::interval(subscription), now);
    let draft = cycle::bill_period(account, subscription, (now, end), "subscription_update");
    let placed = items::place(subscription.elements("items").to_vec(), id, (now, end));
    let invoice = draft.text("id");
    let mut all = json!({ "billing_cycle_anchor": now, "items": placed, "latest_invoice": invoice });
    if let (Value::Object(all), Value::Object(with)) = (&mut all, with) {
        all.extend(with);
    }
    let after = record::change(account, "subscription", id, None, all);
    account.emit(event, &after, Some(before));
    cycle::plan(account, &after);
    invoice::finalize(account, invoice);
    invoice::collect(account, invoice);
    entitlement::refresh(account, customer);
    account.require("subscription", id, "id")
}

/// `trial_end`: a time, or `now`.
fn new_trial_end(params: &Params, now: i64) -> Result<Option<i64>, ApiError> {
    if params.text("trial_end") == Some("now") {
        return Ok(Some(now));
    }
    let end = params.integer("trial_end")?;
    if end.is_some_and(|end| end <= now) {
        return Err(ApiError::parameter("parameter_invalid", "trial_end", "trial_end has to be in the future."));
    }
    Ok(end)
}

/// Ends a trial now, or moves its end.
fn change_trial(
    account: &mut Account,
    standing: &Value,
    mut changed: Map<String, Value>,
    trial_end: i64,
    now: i64,
) -> Result<Value, ApiError> {
    let id = standing.text("id");
    set(&mut changed, json!({ "trial_end": trial_end, "trial_start": standing.time("trial_start").unwrap_or(now) }));
    if trial_end > now {
        let start = items::period(standing).0;
        let placed = items::place(changed.elements("items").to_vec(), id, (start, trial_end));
        set(&mut changed, json!({ "billing_cycle_anchor": trial_end, "items": placed, "status": "trialing" }));
        let after = account.update("subscription", id, super::updated(account, id), |held| *held = changed)?;
        cycle::plan(account, &after);
        return Ok(after);
    }
    set(&mut changed, json!({ "status": "active" }));
    restart(account, standing, Value::Object(changed))
}
