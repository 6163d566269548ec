//! What happens to a subscription as time passes: reminders, the end of a trial, renewals, the end.

use serde_json::{Value, json};

use super::{end, has_ended, items, updated};
use crate::account::Account;
use crate::business::calendar::{DAY, period_end};
use crate::business::fields::Fields;
use crate::business::invoice::{self, DRAFT_HOURS, Draft};
use crate::business::payment_method;
use crate::business::record::change;
use crate::business::shapes::shape;
use crate::business::timing::{later, now_of};

/// Days before a renewal at which `invoice.upcoming` is sent.
const UPCOMING_DAYS: i64 = 7;
/// Days before the end of a trial at which the customer is to be told.
const TRIAL_WILL_END_DAYS: i64 = 3;

/// Plans what is due in and at the end of the current period.
pub(super) fn plan(account: &mut Account, subscription: &Value) {
    let customer = subscription.reference("customer").map(str::to_owned);
    let now = now_of(account, customer.as_deref());
    let (start, end) = items::period(subscription);
    let id = subscription.text("id");
    if subscription.text("status") == "trialing" {
        let (id, at) = (id.to_owned(), (end - TRIAL_WILL_END_DAYS * DAY).max(now));
        later(account, customer.as_deref(), at, move |account| trial_will_end(account, &id, end));
    }
    // A week's notice makes no sense for what renews every week.
    if end - start > UPCOMING_DAYS * DAY && end - UPCOMING_DAYS * DAY > now {
        let id = id.to_owned();
        later(account, customer.as_deref(), end - UPCOMING_DAYS * DAY, move |account| upcoming(account, &id, end));
    }
    let id = id.to_owned();
    later(account, customer.as_deref(), end, move |account| period_is_over(account, &id, end));
}

/// Plans the end at `cancel_at`.
pub(super) fn plan_cancellation(account: &mut Account, subscription: &Value) {
    let Some(at) = subscription.time("cancel_at") else { return };
    let id = subscription.text("id").to_owned();
    let customer = subscription.reference("customer").map(str::to_owned);
    later(account, customer.as_deref(), at, move |account| {
        let waits = account
            .get("subscription", &id)
            .is_some_and(|held| held.time("cancel_at") == Some(at) && !has_ended(&held));
        if waits {
            end(account, &id, "cancellation_requested");
        }
    });
}

/// A subscription that still is in the period that ends at `period_end`.
fn in_period(account: &Account, id: &str, period_end: i64) -> Option<Value> {
    account.get("subscription", id).filter(|held| !has_ended(held) && items::period(held).1 == period_end)
}

fn trial_will_end(account: &mut Account, id: &str, at: i64) {
    if let Some(subscription) = in_period(account, id, at).filter(|held| held.text("status") == "trialing") {
        account.emit("customer.subscription.trial_will_end", &subscription, None);
    }
}

/// `invoice.upcoming` carries the invoice to come. It has no id.
fn upcoming(account: &mut Account, id: &str, at: i64) {
    let Some(subscription) = in_period(account, id, at) else { return };
    if subscription.flag("cancel_at_period_end")
        || !matches!(subscription.text("status"), "active" | "trialing" | "past_due")
    {
        return;
    }
    let next = (at, period_end(subscription.int("billing_cycle_anchor"), items::interval(&subscription), at));
    let mut lines = Vec::new();
    for item in subscription.elements("items") {
        lines.push(Value::Object(invoice::of_subscription_item(account, &subscription, item, next, false)));
    }
    let total: i64 = lines.iter().map(|line| line.int("amount")).sum();
    let list = crate::business::shapes::list(lines, "/v1/invoices/upcoming/lines".to_owned());
    let mut preview = shape(
        "invoice",
        json!({
            "amount_due": total, "amount_remaining": total, "billing_reason": "upcoming", "created": at,
            "currency": subscription.value("currency"), "customer": subscription.value("customer"), "lines": list,
            "next_payment_attempt": at + DRAFT_HOURS * 3_600, "period_end": at, "period_start": items::period(&subscription).0,
            "parent": {
                "quote_details": null,
                "subscription_details": { "metadata": subscription.value("metadata"), "subscription": id },
                "type": "subscription_details",
            },
            "subtotal": total, "subtotal_excluding_tax": total, "total": total, "total_excluding_tax": total,
        }),
    );
    preview.remove("id");
    account.emit("invoice.upcoming", &Value::Object(preview), None);
}

fn period_is_over(account: &mut Account, id: &str, at: i64) {
    let Some(subscription) = in_period(account, id, at) else { return };
    match subscription.text("status") {
        "incomplete" | "paused" => {}
        _ if subscription.flag("cancel_at_period_end") => end(account, id, "cancellation_requested"),
        "trialing" if !may_bill_after_trial(account, &subscription) => {}
        _ => renew(account, &subscription, at),
    }
}

/// A trial without a payment method ends as the subscription's settings say. False when it does not go on.
fn may_bill_after_trial(account: &mut Account, subscription: &Value) -> bool {
    let wanted = subscription.value("trial_settings").value("end_behavior").text("missing_payment_method").to_owned();
    let customer = subscription.reference("customer").and_then(|customer| account.get("customer", customer));
    let method = customer.and_then(|customer| payment_method::default_of(account, Some(subscription), &customer));
    match wanted.as_str() {
        "cancel" if method.is_none() => end(account, subscription.text("id"), "cancellation_requested"),
        "pause" if method.is_none() => {
            change(
                account,
                "subscription",
                subscription.text("id"),
                Some("customer.subscription.paused"),
                json!({ "status": "paused" }),
            );
        }
        _ => return true,
    }
    false
}

/// Begins the next period: its invoice is a draft for an hour, then it is final and collected.
fn renew(account: &mut Account, subscription: &Value, start: i64) {
    let end = period_end(subscription.int("billing_cycle_anchor"), items::interval(subscription), start);
    let status = if subscription.text("status") == "trialing" { "active" } else { subscription.text("status") };
    let invoice = bill_period(account, subscription, (start, end), "subscription_cycle");
    let id = subscription.text("id");
    let placed = items::place(subscription.elements("items").to_vec(), id, (start, end));
    let with = json!({ "items": placed, "latest_invoice": invoice.value("id"), "status": status });
    let event = updated(account, id);
    let renewed = change(account, "subscription", id, event, with);
    plan(account, &renewed);
}

/// The draft for a period, with what happens to it later.
pub(super) fn bill_period(account: &mut Account, subscription: &Value, period: (i64, i64), reason: &str) -> Value {
    let customer =
        subscription.reference("customer").and_then(|customer| account.get("customer", customer)).unwrap_or_default();
    let mut lines = Vec::new();
    for item in subscription.elements("items") {
        lines.push(invoice::of_subscription_item(account, subscription, item, period, false));
    }
    let paused = subscription.value("pause_collection").text("behavior").to_owned();
    let stays_draft = paused == "keep_as_draft" || subscription.text("status") == "unpaid";
    let about = Draft {
        customer: &customer,
        subscription: Some(subscription),
        currency: subscription.text("currency"),
        reason,
        period: (items::period(subscription).0, period.0),
        auto_advance: !stays_draft,
        with: json!({}),
    };
    let draft = invoice::draft(account, &about, lines);
    match paused.as_str() {
        "void" | "mark_uncollectible" => give_up_later(account, &draft, paused == "void"),
        _ => invoice::advance_later(account, &draft),
    }
    draft
}

/// While collection is paused an invoice is made final and given up at once.
fn give_up_later(account: &mut Account, draft: &Value, void: bool) {
    let id = draft.text("id").to_owned();
    let at = draft.time("automatically_finalizes_at").unwrap_or_else(|| account.now());
    let customer = draft.reference("customer").map(str::to_owned);
    later(account, customer.as_deref(), at, move |account| {
        if account.get("invoice", &id).is_none_or(|invoice| invoice.text("status") != "draft") {
            return;
        }
        let invoice = invoice::finalize(account, &id);
        match (invoice.text("status"), void) {
            ("open", true) => invoice::void(account, &id),
            ("open", false) => invoice::mark_uncollectible(account, &id),
            _ => invoice,
        };
    });
}
