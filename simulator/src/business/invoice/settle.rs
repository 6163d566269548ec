//! How an invoice ends: paid, refused and tried again, voided, given up.

use serde_json::{Value, json};

use super::draft::{subscription_of, transitions};
use crate::account::Account;
use crate::business::calendar::DAY;
use crate::business::fields::Fields;
use crate::business::record::change;
use crate::business::timing::{later, now_of};
use crate::business::{payment_intent, payment_method, subscription};
use crate::error::ApiError;

/// Days between a refused payment and the next attempt. After the last one Stripe gives up.
const RETRY_DAYS: [i64; 4] = [1, 3, 5, 7];

/// Tries to collect an open invoice from the default payment method, or from the one given.
///
/// # Errors
/// 402 when the bank refuses; 400 when there is no payment method. The invoice has failed then.
pub(in crate::business) fn attempt(
    account: &mut Account,
    id: &str,
    method: Option<&str>,
    off_session: bool,
) -> Result<(), ApiError> {
    let invoice = account.require("invoice", id, "id")?;
    if invoice.text("status") != "open" && invoice.text("status") != "uncollectible" {
        return Ok(());
    }
    let Some(intent) = account.business.intent_of_invoice.get(id).cloned() else { return Ok(()) };
    let method = match method.or_else(|| invoice.reference("default_payment_method")) {
        Some(method) => Some(method.to_owned()),
        None => default_method(account, &invoice),
    };
    let Some(method) = method else {
        failed(account, &invoice);
        let message = "This invoice has no payment method: attach one to the customer and make it the default.";
        return Err(ApiError {
            code: Some("invoice_payment_intent_requires_action".to_owned()),
            ..ApiError::invalid(message)
        });
    };
    if account.get("payment_intent", &intent).is_some_and(|intent| intent.text("status") != "requires_action") {
        change(account, "payment_intent", &intent, None, json!({ "payment_method": method }));
    }
    payment_intent::pay(account, &intent, off_session).map(|_| ())
}

fn default_method(account: &Account, invoice: &Value) -> Option<String> {
    let subscription = subscription_of(invoice).and_then(|id| account.get("subscription", id));
    let customer = account.get("customer", invoice.reference("customer")?)?;
    let method = payment_method::default_of(account, subscription.as_ref(), &customer)?;
    Some(method.text("id").to_owned())
}

/// A payment intent was paid: so is the invoice that it belongs to, if there is one.
pub(in crate::business) fn payment_succeeded(account: &mut Account, intent: &str) {
    let Some(id) = account.business.invoice_of_intent.get(intent).cloned() else { return };
    let Some(payment) =
        account.find("invoice_payment", "invoice", &id).into_iter().find(|payment| payment.text("status") == "open")
    else {
        return;
    };
    let now = account.get("invoice", &id).map_or(0, |invoice| now_of(account, invoice.reference("customer")));
    let amount = payment.int("amount_requested");
    let with = json!({
        "amount_paid": amount, "status": "paid", "status_transitions": { "canceled_at": null, "paid_at": now },
    });
    change(account, "invoice_payment", payment.text("id"), Some("invoice_payment.paid"), with);
    paid(account, &id, amount, true);
}

/// Marks an invoice as paid. `collected` is false when the money came from outside of Stripe.
pub(super) fn paid(account: &mut Account, id: &str, amount: i64, collected: bool) {
    let Some(invoice) = account.get("invoice", id) else { return };
    let now = now_of(account, invoice.reference("customer"));
    let attempts = invoice.int("attempt_count") + i64::from(amount > 0 && collected);
    let with = json!({
        "amount_paid": invoice.int("amount_paid") + amount, "amount_remaining": 0, "attempt_count": attempts, "attempted": true,
        "next_payment_attempt": null, "status": "paid", "status_transitions": transitions(&invoice, "paid_at", now),
    });
    let invoice = change(account, "invoice", id, Some("invoice.updated"), with);
    account.emit("invoice.paid", &invoice, None);
    if collected {
        account.emit("invoice.payment_succeeded", &invoice, None);
    }
    subscription::invoice_paid(account, &invoice);
}

/// A payment intent was refused: the invoice that it belongs to has failed once more.
pub(in crate::business) fn payment_failed(account: &mut Account, intent: &str) {
    let id = account.business.invoice_of_intent.get(intent);
    if let Some(invoice) = id.and_then(|id| account.get("invoice", id)) {
        failed(account, &invoice);
    }
}

/// A payment intent waits for the customer: so does its invoice.
pub(in crate::business) fn payment_needs_action(account: &mut Account, intent: &str) {
    let id = account.business.invoice_of_intent.get(intent);
    if let Some(invoice) = id.and_then(|id| account.get("invoice", id)) {
        account.emit("invoice.payment_action_required", &invoice, None);
    }
}

/// Counts a refused attempt and plans the next one.
fn failed(account: &mut Account, invoice: &Value) {
    let id = invoice.text("id");
    let now = now_of(account, invoice.reference("customer"));
    let attempts = invoice.int("attempt_count") + 1;
    // The first invoice of a subscription is not tried again: the subscription stays incomplete until somebody pays.
    let retries = invoice.flag("auto_advance") && invoice.text("billing_reason") != "subscription_create";
    let days = usize::try_from(attempts - 1).ok().and_then(|at| RETRY_DAYS.get(at)).filter(|_| retries);
    let next = days.map(|days| now + days * DAY);
    let with = json!({ "attempt_count": attempts, "attempted": true, "next_payment_attempt": next });
    let invoice = change(account, "invoice", id, Some("invoice.updated"), with);
    account.emit("invoice.payment_failed", &invoice, None);
    if let Some(next) = next {
        plan_retry(account, &invoice, next);
    }
    subscription::invoice_failed(account, &invoice, retries && next.is_none());
}

fn plan_retry(account: &mut Account, invoice: &Value, at: i64) {
    let id = invoice.text("id").to_owned();
    let customer = invoice.reference("customer").map(str::to_owned);
    later(account, customer.as_deref(), at, move |account| {
        let waits = account.get("invoice", &id).is_some_and(|invoice| invoice.time("next_payment_attempt") == Some(at));
        if waits {
            // A refusal is part of the story; it has its events.
            let _ = attempt(account, &id, None, true);
        }
    });
}

/// Stops collecting an invoice by itself.
pub(in crate::business) fn stop_collecting(account: &mut Account, id: &str) {
    if account.get("invoice", id).is_some_and(|invoice| matches!(invoice.text("status"), "draft" | "open")) {
        let with = json!({ "auto_advance": false, "automatically_finalizes_at": null, "next_payment_attempt": null });
        change(account, "invoice", id, Some("invoice.updated"), with);
    }
}

/// Voids an open invoice.
pub(in crate::business) fn void(account: &mut Account, id: &str) -> Value {
    let Some(invoice) = account.get("invoice", id) else { return Value::Null };
    cancel_payment(account, id);
    let now = now_of(account, invoice.reference("customer"));
    let with = json!({
        "amount_remaining": 0, "auto_advance": false, "next_payment_attempt": null, "status": "void",
        "status_transitions": transitions(&invoice, "voided_at", now),
    });
    change(account, "invoice", id, Some("invoice.voided"), with)
}

/// Gives an open invoice up.
pub(in crate::business) fn mark_uncollectible(account: &mut Account, id: &str) -> Value {
    let Some(invoice) = account.get("invoice", id) else { return Value::Null };
    let now = now_of(account, invoice.reference("customer"));
    let with = json!({
        "auto_advance": false, "next_payment_attempt": null, "status": "uncollectible",
        "status_transitions": transitions(&invoice, "marked_uncollectible_at", now),
    });
    change(account, "invoice", id, Some("invoice.marked_uncollectible"), with)
}

/// Marks an invoice as paid outside of Stripe.
pub(super) fn pay_out_of_band(account: &mut Account, id: &str) {
    let Some(invoice) = account.get("invoice", id) else { return };
    cancel_payment(account, id);
    account.business.paid_out_of_band.insert(id.to_owned());
    paid(account, id, invoice.int("amount_remaining"), false);
}

/// The payment that an invoice waited for will not come.
fn cancel_payment(account: &mut Account, id: &str) {
    let Some(intent) = account.business.intent_of_invoice.get(id).cloned() else { return };
    if account.get("payment_intent", &intent).is_some_and(|intent| intent.text("status") != "succeeded") {
        payment_intent::cancel_intent(account, &intent, Some("void_invoice"));
    }
    for payment in account.find("invoice_payment", "invoice", id) {
        if payment.text("status") == "open" {
            let with = json!({
                "status": "canceled", "status_transitions": { "canceled_at": account.now(), "paid_at": null },
            });
            change(account, "invoice_payment", payment.text("id"), None, with);
        }
    }
}

/// The amount that an open invoice asks for has changed: so does its payment. Nothing left means paid.
pub(in crate::business) fn request_less(account: &mut Account, invoice: &Value) {
    let (id, amount) = (invoice.text("id"), invoice.int("amount_remaining"));
    if amount == 0 {
        cancel_payment(account, id);
        paid(account, id, 0, true);
        return;
    }
    if let Some(intent) = account.business.intent_of_invoice.get(id).cloned() {
        // Stripe has no event for this.
        change(account, "payment_intent", &intent, None, json!({ "amount": amount }));
    }
    for payment in account.find("invoice_payment", "invoice", id) {
        if payment.text("status") == "open" {
            change(account, "invoice_payment", payment.text("id"), None, json!({ "amount_requested": amount }));
        }
    }
}
