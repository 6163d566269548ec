//! Invoices with their lines.

use std::fmt::Write as _;

use super::{CURRENCIES, PRODUCTS};
use crate::account::Account;
use crate::account::embedded::SHOWN_MAX;

/// An invoice as it is stored.
pub(super) struct Written {
    pub(super) id: String,
    pub(super) json: String,
    /// With its first lines only, when there are more.
    pub(super) shown: Option<String>,
}

/// What lines and invoice have in common.
struct Common<'a> {
    id: &'a str,
    customer: &'a str,
    subscription: &'a str,
    currency: &'a str,
    created: i64,
    livemode: bool,
}

/// Seconds of a billing period.
const PERIOD_SECONDS: i64 = 30 * 86_400;

pub(super) fn write(account: &mut Account, customer: &str, created: i64, at: usize, lines: usize) -> Written {
    let id = account.new_id_at("in_", created);
    let subscription = account.new_id_at("sub_", created - PERIOD_SECONDS);
    let currency = account.random().pick(&CURRENCIES).copied().unwrap_or_default();
    let livemode = account.livemode();
    let common = Common { id: &id, customer, subscription: &subscription, currency, created, livemode };
    let mut total = 0;
    let mut texts = Vec::with_capacity(lines);
    for number in 0..lines {
        let (text, amount) = line(account, &common, number);
        total += amount;
        texts.push(text);
    }
    let is_paid = account.random().between(0, 10) > 0;
    let json = invoice(&common, at, total, is_paid, &texts, false);
    let shown = texts.get(..SHOWN_MAX).filter(|shown| shown.len() < texts.len());
    let shown = shown.map(|first| invoice(&common, at, total, is_paid, first, true));
    Written { id, json, shown }
}

fn line(account: &mut Account, common: &Common<'_>, number: usize) -> (String, u64) {
    let Common { id, subscription, currency, created, livemode, .. } = common;
    let line_id = account.new_id_at("il_", *created);
    let item = account.new_id_at("si_", created - PERIOD_SECONDS);
    let (product, price) = account.random().pick(&PRODUCTS).copied().unwrap_or_default();
    let quantity = account.random().between(1, 6);
    let amount = price * quantity;
    let start = created - PERIOD_SECONDS;
    let mut text = String::with_capacity(1_300);
    // Writing into a String cannot fail.
    let _ = write!(
        text,
        r#"{{"amount":{amount},"currency":"{currency}","description":"{quantity} × {product} (at {units}.{cents:02} / month)","discount_amounts":[],"discountable":true,"discounts":[],"id":"{line_id}","invoice":"{id}","livemode":{livemode},"metadata":{{"position":"{number}"}},"object":"line_item","parent":{{"invoice_item_details":null,"subscription_item_details":{{"invoice_item":null,"proration":false,"proration_details":{{"credited_items":null}},"subscription":"{subscription}","subscription_item":"{item}"}},"type":"subscription_item_details"}},"period":{{"end":{created},"start":{start}}},"pretax_credit_amounts":[],"pricing":{{"price_details":{{"price":"price_{plan}","product":"prod_{plan}"}},"type":"price_details","unit_amount_decimal":"{price}"}},"quantity":{quantity},"quantity_decimal":"{quantity}","subscription":"{subscription}","subtotal":{amount},"taxes":[]}}"#,
        units = price / 100,
        cents = price % 100,
        plan = product.to_lowercase().replace(' ', "_"),
    );
    (text, amount)
}

fn invoice(common: &Common<'_>, at: usize, total: u64, is_paid: bool, lines: &[String], has_more: bool) -> String {
    let Common { id, customer, subscription, currency, created, livemode } = common;
    let start = created - PERIOD_SECONDS;
    let status = if is_paid { "paid" } else { "open" };
    let paid = if is_paid { total } else { 0 };
    let finalized = created + 3_600;
    let paid_at = if is_paid { (finalized + 5).to_string() } else { "null".to_owned() };
    let mut json = String::with_capacity(2_600 + lines.iter().map(|line| line.len() + 1).sum::<usize>());
    // Writing into a String cannot fail.
    let _ = write!(
        json,
        r#"{{"account_country":"US","account_name":"Simulated Company","account_tax_ids":null,"amount_due":{total},"amount_overpaid":0,"amount_paid":{paid},"amount_remaining":{remaining},"amount_shipping":0,"application":null,"attempt_count":1,"attempted":true,"auto_advance":false,"automatic_tax":{{"disabled_reason":null,"enabled":false,"liability":null,"provider":null,"status":null}},"automatically_finalizes_at":null,"billing_reason":"subscription_cycle","collection_method":"charge_automatically","created":{created},"currency":"{currency}","custom_fields":null,"customer":"{customer}","customer_account":null,"customer_address":null,"customer_email":"customer{at}@simulator.example","customer_name":"Customer {at}","customer_phone":null,"customer_shipping":null,"customer_tax_exempt":"none","customer_tax_ids":[],"default_payment_method":null,"default_source":null,"default_tax_rates":[],"description":null,"discounts":[],"due_date":null,"effective_at":{finalized},"ending_balance":0,"footer":null,"from_invoice":null,"hosted_invoice_url":"https://invoice.simulator.example/i/{id}","id":"{id}","invoice_pdf":"https://invoice.simulator.example/i/{id}/pdf","issuer":{{"type":"self"}},"last_finalization_error":null,"latest_revision":null,"lines":{{"data":["#,
        remaining = total - paid,
    );
    for (number, line) in lines.iter().enumerate() {
        if number > 0 {
            json.push(',');
        }
        json.push_str(line);
    }
    let _ = write!(
        json,
        r#"],"has_more":{has_more},"object":"list","url":"/v1/invoices/{id}/lines"}},"livemode":{livemode},"metadata":{{}},"next_payment_attempt":null,"number":"SIM-{at:08}","object":"invoice","on_behalf_of":null,"parent":{{"quote_details":null,"subscription_details":{{"metadata":{{}},"subscription":"{subscription}"}},"type":"subscription_details"}},"payment_settings":{{"default_mandate":null,"payment_method_options":null,"payment_method_types":null}},"period_end":{created},"period_start":{start},"post_payment_credit_notes_amount":0,"pre_payment_credit_notes_amount":0,"receipt_number":null,"rendering":null,"shipping_cost":null,"shipping_details":null,"starting_balance":0,"statement_descriptor":null,"status":"{status}","status_transitions":{{"finalized_at":{finalized},"marked_uncollectible_at":null,"paid_at":{paid_at},"voided_at":null}},"subtotal":{total},"subtotal_excluding_tax":{total},"test_clock":null,"total":{total},"total_discount_amounts":[],"total_excluding_tax":{total},"total_pretax_credit_amounts":[],"total_taxes":[],"webhooks_delivered_at":{created}}}"#,
    );
    json
}
