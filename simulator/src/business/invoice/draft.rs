//! Making drafts, and making them final.

use serde_json::{Map, Value, json};

use super::{item, line, settle, totals};
use crate::account::Account;
use crate::business::calendar::{DAY, HOUR};
use crate::business::fields::Fields;
use crate::business::record::{add, change, made};
use crate::business::shapes::{Object, set};
use crate::business::timing::{later, now_of};
use crate::business::{customer, discount, payment_intent};

/// How long a draft that advances by itself stays one.
pub(in crate::business) const DRAFT_HOURS: i64 = 1;
/// Days to pay an invoice that is sent, unless the subscription or the invoice says otherwise.
const DAYS_UNTIL_DUE: i64 = 30;
/// Days before the due date at which Stripe reminds.
const WILL_BE_DUE_DAYS: i64 = 3;

/// What a new invoice is about.
pub(in crate::business) struct Draft<'a> {
    pub(in crate::business) customer: &'a Value,
    pub(in crate::business) subscription: Option<&'a Value>,
    pub(in crate::business) currency: &'a str,
    /// `subscription_cycle`, `subscription_create`, `subscription_update`, `manual`.
    pub(in crate::business) reason: &'a str,
    pub(in crate::business) period: (i64, i64),
    /// Whether Stripe finalises and collects it by itself.
    pub(in crate::business) auto_advance: bool,
    /// Further properties.
    pub(in crate::business) with: Value,
}

/// Creates a draft with its lines and everything that waits for the customer's next invoice.
pub(in crate::business) fn create(account: &mut Account, draft: &Draft<'_>, lines: Vec<Object>) -> Value {
    let customer = draft.customer.text("id");
    let now = now_of(account, Some(customer));
    let mut invoice = made(account, "invoice", now, of_customer(account, draft.customer));
    let id = invoice.text("id").to_owned();
    let finalizes = draft.auto_advance.then_some(now + DRAFT_HOURS * HOUR);
    set(
        &mut invoice,
        json!({
            "auto_advance": draft.auto_advance, "automatically_finalizes_at": finalizes, "billing_reason": draft.reason,
            "currency": draft.currency, "next_payment_attempt": finalizes, "period_end": draft.period.1,
            "period_start": draft.period.0,
        }),
    );
    if let Some(subscription) = draft.subscription {
        set(&mut invoice, of_subscription(subscription));
    }
    set(&mut invoice, draft.with.clone());
    if invoice.text("collection_method") == "send_invoice" {
        set(&mut invoice, json!({ "next_payment_attempt": null }));
    }
    let discounts = discount::for_invoice(account, draft.customer, draft.subscription);
    let waiting = match draft.with.text("pending_invoice_items_behavior") {
        "exclude" => Vec::new(),
        _ => item::pending(
            account,
            customer,
            draft.subscription.map(|subscription| subscription.text("id")),
            draft.currency,
        ),
    };
    invoice.remove("pending_invoice_items_behavior");
    let mut all = lines;
    for item in &waiting {
        all.push(line::of_invoice_item(account, item));
        change(account, "invoiceitem", item.text("id"), None, json!({ "invoice": id }));
    }
    let all: Vec<Value> = all
        .into_iter()
        .map(|mut line| {
            set(&mut line, json!({ "invoice": id }));
            Value::Object(line)
        })
        .collect();
    let lines = crate::business::shapes::list(all, format!("/v1/invoices/{id}/lines"));
    set(&mut invoice, json!({ "discounts": discounts, "lines": lines }));
    totals::compute(account, &mut invoice);
    add(account, invoice, Some("invoice.created"))
}

/// What an invoice repeats of its customer.
fn of_customer(account: &Account, customer: &Value) -> Value {
    let company = account.get("account", account.id()).unwrap_or_default();
    json!({
        "account_name": company.value("business_profile").value("name"), "customer": customer.value("id"),
        "customer_address": customer.value("address"), "customer_email": customer.value("email"),
        "customer_name": customer.value("name"), "customer_phone": customer.value("phone"),
        "customer_shipping": customer.value("shipping"), "customer_tax_exempt": customer.value("tax_exempt"),
        "test_clock": customer.value("test_clock"),
    })
}

/// What an invoice repeats of its subscription.
fn of_subscription(subscription: &Value) -> Value {
    json!({
        "collection_method": subscription.value("collection_method"),
        "default_payment_method": subscription.value("default_payment_method"),
        "default_tax_rates": subscription.value("default_tax_rates"), "description": subscription.value("description"),
        "parent": {
            "quote_details": null,
            "subscription_details": { "metadata": subscription.value("metadata"), "subscription": subscription.value("id") },
            "type": "subscription_details",
        },
    })
}

/// The subscription of an invoice.
pub(in crate::business) fn subscription_of(invoice: &Value) -> Option<&str> {
    invoice.value("parent").value("subscription_details").reference("subscription")
}

/// Makes a draft final: it gets its number, the customer's balance is applied, and a payment intent waits for the money. An invoice of
/// nothing is paid at once.
pub(in crate::business) fn finalize(account: &mut Account, id: &str) -> Value {
    let Some(draft) = account.get("invoice", id).filter(|invoice| invoice.text("status") == "draft") else {
        return account.get("invoice", id).unwrap_or_default();
    };
    let customer = draft.reference("customer").unwrap_or_default().to_owned();
    let now = now_of(account, Some(&customer));
    let (number, starting, ending) = apply_to_customer(account, &draft, &customer);
    let due = (draft.int("total") + starting).max(0);
    let due_date = (draft.text("collection_method") == "send_invoice").then(|| due_date_of(account, &draft, now));
    let mut with = json!({
        "amount_due": due, "amount_remaining": due, "automatically_finalizes_at": null, "due_date": due_date, "effective_at": now,
        "ending_balance": ending, "hosted_invoice_url": format!("https://invoice.stripe.com/i/{}/{id}", account.id()),
        "invoice_pdf": format!("https://pay.stripe.com/invoice/{}/{id}/pdf", account.id()), "number": number,
        "starting_balance": starting, "status": "open",
    });
    with["status_transitions"] = transitions(&draft, "finalized_at", now);
    let mut invoice = change(account, "invoice", id, Some("invoice.finalized"), with);
    if due == 0 {
        settle::paid(account, id, 0, true);
        invoice = account.get("invoice", id).unwrap_or_default();
    } else {
        request_payment(account, &invoice);
        remind(account, &invoice);
    }
    discount::used_by_invoice(account, &invoice);
    invoice
}

fn due_date_of(account: &Account, draft: &Value, now: i64) -> i64 {
    let subscription = subscription_of(draft).and_then(|id| account.get("subscription", id));
    let days = subscription.and_then(|subscription| subscription.time("days_until_due")).unwrap_or(DAYS_UNTIL_DUE);
    draft.time("due_date").unwrap_or(now + days * DAY)
}

/// Takes the next number and applies the balance: (number, balance before, balance after).
fn apply_to_customer(account: &mut Account, draft: &Value, id: &str) -> (String, i64, i64) {
    let standing = account.get("customer", id).unwrap_or_default();
    let sequence = standing.int("next_invoice_sequence");
    let number = format!("{}-{sequence:04}", standing.text("invoice_prefix"));
    let starting = standing.int("balance");
    let sum = draft.int("total") + starting;
    let ending = sum.min(0);
    let currency = draft.text("currency");
    let with = json!({ "currency": currency, "next_invoice_sequence": sequence + 1 });
    change(account, "customer", id, Some("customer.updated"), with);
    if ending != starting {
        let with = json!({ "invoice": draft.value("id"), "type": "applied_to_invoice" });
        customer::move_balance(account, id, ending - starting, currency, with);
    }
    (number, starting, ending)
}

/// `status_transitions` with one more time.
pub(in crate::business) fn transitions(invoice: &Value, name: &str, at: i64) -> Value {
    let mut times: Map<String, Value> = invoice.value("status_transitions").as_object().cloned().unwrap_or_default();
    times.insert(name.to_owned(), at.into());
    Value::Object(times)
}

/// Makes the payment intent of an open invoice, and the record that links the two.
fn request_payment(account: &mut Account, invoice: &Value) {
    let (id, amount, currency) = (invoice.text("id"), invoice.int("amount_due"), invoice.text("currency"));
    let customer = invoice.reference("customer");
    let description = match invoice.text("billing_reason") {
        "subscription_create" => "Subscription creation".to_owned(),
        "subscription_cycle" | "subscription_update" => "Subscription update".to_owned(),
        _ => format!("Payment for Invoice {}", invoice.text("number")),
    };
    let with = json!({ "description": description, "setup_future_usage": null });
    let intent = payment_intent::make(account, amount, currency, customer, with);
    let intent = intent.text("id");
    account.business.invoice_of_intent.insert(intent.to_owned(), id.to_owned());
    account.business.intent_of_invoice.insert(id.to_owned(), intent.to_owned());
    let with = json!({
        "amount_requested": amount, "currency": currency, "invoice": id,
        "payment": { "payment_intent": intent, "type": "payment_intent" },
    });
    let now = now_of(account, customer);
    let payment = made(account, "invoice_payment", now, with);
    add(account, payment, None);
}

/// Lets Stripe remind of the due date and notice that it has passed.
fn remind(account: &mut Account, invoice: &Value) {
    let Some(due) = invoice.time("due_date") else { return };
    let customer = invoice.reference("customer").map(str::to_owned);
    for (at, event) in [(due - WILL_BE_DUE_DAYS * DAY, "invoice.will_be_due"), (due, "invoice.overdue")] {
        let id = invoice.text("id").to_owned();
        later(account, customer.as_deref(), at, move |account| {
            if let Some(invoice) = account.get("invoice", &id).filter(|invoice| invoice.text("status") == "open") {
                account.emit(event, &invoice, None);
            }
        });
    }
}
