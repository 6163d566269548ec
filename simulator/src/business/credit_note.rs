//! Credit notes.

use serde_json::{Value, json};

use super::fields::Fields;
use super::record::{add, change, made};
use super::shapes::{list, set};
use super::take::{Take, take};
use super::timing::now_of;
use super::{customer, refund};
use crate::account::Account;
use crate::error::ApiError;
use crate::params::{Params, integer};
use crate::routes::{WriteRoute, post};

pub(super) static ROUTES: &[WriteRoute] = &[
    post("/v1/credit_notes", create),
    post("/v1/credit_notes/{id}", update),
    post("/v1/credit_notes/{id}/void", void),
];

const SETTABLE: &[(&str, Take)] = &[("memo", Take::Text), ("metadata", Take::Metadata)];

fn create(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let invoice = account.require("invoice", params.required("invoice")?, "invoice")?;
    let is_paid = match invoice.text("status") {
        "paid" => true,
        "open" => false,
        status => {
            return Err(ApiError::invalid(format!(
                "You can only issue credit notes for open or paid invoices, not {status} ones."
            )));
        }
    };
    let customer = invoice.text("customer").to_owned();
    let now = now_of(account, Some(&customer));
    let mut note = made(account, "credit_note", now, json!({}));
    take(params, &[SETTABLE, &[("reason", Take::Text)]].concat(), &mut note)?;
    let id = note.text("id").to_owned();
    let lines = lines(account, params, &invoice)?;
    let amount: i64 = lines.iter().map(|line| line.int("amount")).sum();
    check_amount(account, &invoice, amount)?;
    let sequence = account.find("credit_note", "invoice", invoice.text("id")).len() + 1;
    set(
        &mut note,
        json!({
            "amount": amount, "currency": invoice.value("currency"), "customer": customer, "effective_at": now,
            "invoice": invoice.value("id"), "lines": list(lines, format!("/v1/credit_notes/{id}/lines")),
            "number": format!("{}-CN-{sequence:02}", invoice.text("number")),
            "pdf": format!("https://pay.stripe.com/credit_notes/{}/{id}/pdf", account.id()),
            "post_payment_amount": if is_paid { amount } else { 0 }, "pre_payment_amount": if is_paid { 0 } else { amount },
            "subtotal": amount, "subtotal_excluding_tax": amount, "total": amount, "total_excluding_tax": amount,
            "type": if is_paid { "post_payment" } else { "pre_payment" },
        }),
    );
    if is_paid {
        set(&mut note, give_back(account, params, &invoice, &id, amount)?);
    }
    let note = add(account, note, Some("credit_note.created"));
    credit_invoice(account, &invoice, amount, is_paid);
    Ok(note)
}

/// Lines from `lines[]`, else one over `amount`, else over the whole invoice.
fn lines(account: &mut Account, params: &Params, invoice: &Value) -> Result<Vec<Value>, ApiError> {
    let sent = params.array("lines");
    let mut wanted: Vec<Value> = Vec::new();
    for line in sent {
        let standing = line.reference("invoice_line_item").and_then(|id| find_line(invoice, id));
        let quantity = integer(line.get("quantity"), "lines[quantity]")?.unwrap_or(1);
        let unit = integer(line.get("unit_amount"), "lines[unit_amount]")?;
        let amount = integer(line.get("amount"), "lines[amount]")?.or_else(|| unit.map(|unit| unit * quantity));
        let amount = amount.or_else(|| standing.as_ref().map(|line| line.int("amount"))).unwrap_or(0);
        wanted.push(json!({
            "amount": amount, "description": line.get("description").or_else(|| standing.as_ref()?.get("description")),
            "invoice_line_item": standing.as_ref().map(|line| line.value("id")), "quantity": quantity,
            "type": if standing.is_some() { "invoice_line_item" } else { "custom_line_item" },
        }));
    }
    if sent.is_empty() {
        let amount = params.integer("amount")?.unwrap_or_else(|| invoice.int("total"));
        let whole = amount == invoice.int("total");
        let first = invoice.elements("lines").first().filter(|_| whole && invoice.elements("lines").len() == 1);
        wanted.push(json!({
            "amount": amount, "description": first.map_or(json!("Credit"), |line| line.value("description").clone()),
            "invoice_line_item": first.map(|line| line.value("id")), "quantity": 1,
            "type": if first.is_some() { "invoice_line_item" } else { "custom_line_item" },
        }));
    }
    let lines = wanted.into_iter().map(|mut with| {
        let amount = with.int("amount");
        let is_custom = with.text("type") == "custom_line_item";
        with["unit_amount"] = if is_custom { amount.into() } else { Value::Null };
        with["unit_amount_decimal"] = if is_custom { amount.to_string().into() } else { Value::Null };
        Value::Object(made(account, "credit_note_line_item", 0, with))
    });
    Ok(lines.collect())
}

fn find_line(invoice: &Value, id: &str) -> Option<Value> {
    invoice.elements("lines").iter().find(|line| line.text("id") == id).cloned()
}

/// An invoice cannot be credited beyond its total.
fn check_amount(account: &mut Account, invoice: &Value, amount: i64) -> Result<(), ApiError> {
    let notes = account.find("credit_note", "invoice", invoice.text("id"));
    let credited: i64 =
        notes.iter().filter(|note| note.text("status") == "issued").map(|note| note.int("amount")).sum();
    if amount < 1 || credited + amount > invoice.int("total") {
        let left = invoice.int("total") - credited;
        return Err(ApiError::parameter(
            "parameter_invalid_integer",
            "amount",
            format!("The amount ({amount}) has to be between 1 and {left}."),
        ));
    }
    Ok(())
}

/// A paid invoice is credited by a refund, by the customer's balance or outside of Stripe.
fn give_back(
    account: &mut Account,
    params: &Params,
    invoice: &Value,
    note: &str,
    amount: i64,
) -> Result<Value, ApiError> {
    if let Some(back) = params.integer("refund_amount")? {
        let intent = account
            .business
            .intent_of_invoice
            .get(invoice.text("id"))
            .and_then(|intent| account.get("payment_intent", intent));
        let charge = intent
            .as_ref()
            .and_then(|intent| intent.reference("latest_charge"))
            .and_then(|charge| account.get("charge", charge));
        let charge = charge.ok_or_else(|| ApiError::invalid("This invoice has no charge that could be refunded."))?;
        let refund = refund::of_charge(account, &charge, Some(back), json!({}))?;
        let refunds = json!([{ "amount_refunded": back, "payment_record_refund": null, "refund": refund.value("id"), "type": "refund" }]);
        return Ok(json!({ "refunds": refunds }));
    }
    if let Some(outside) = params.integer("out_of_band_amount")? {
        return Ok(json!({ "out_of_band_amount": outside }));
    }
    let credit = params.integer("credit_amount")?.unwrap_or(amount);
    let with = json!({ "credit_note": note, "type": "credit_note" });
    let moved = customer::move_balance(account, invoice.text("customer"), -credit, invoice.text("currency"), with);
    Ok(json!({ "customer_balance_transaction": moved.value("id") }))
}

/// What an invoice shows of its credit notes; an open one has less to pay.
fn credit_invoice(account: &mut Account, invoice: &Value, amount: i64, is_paid: bool) {
    let with = if is_paid {
        json!({ "post_payment_credit_notes_amount": invoice.int("post_payment_credit_notes_amount") + amount })
    } else {
        json!({
            "amount_due": invoice.int("amount_due") - amount, "amount_remaining": invoice.int("amount_remaining") - amount,
            "pre_payment_credit_notes_amount": invoice.int("pre_payment_credit_notes_amount") + amount,
        })
    };
    let invoice = change(account, "invoice", invoice.text("id"), Some("invoice.updated"), with);
    if !is_paid {
        super::invoice::request_less(account, &invoice);
    }
}

fn update(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    super::plain::update(account, params, "credit_note", Some("credit_note.updated"), SETTABLE)
}

/// Only a credit note of an open invoice can be voided.
fn void(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let id = params.path("id");
    let note = account.require("credit_note", id, "id")?;
    if note.text("status") == "void" || note.text("type") == "post_payment" {
        return Err(ApiError::invalid("Only issued credit notes of invoices that are not paid can be voided."));
    }
    let now = now_of(account, note.reference("customer"));
    let voided =
        change(account, "credit_note", id, Some("credit_note.voided"), json!({ "status": "void", "voided_at": now }));
    if let Some(invoice) = note.reference("invoice").and_then(|invoice| account.get("invoice", invoice)) {
        credit_invoice(account, &invoice, -note.int("amount"), false);
    }
    Ok(voided)
}
