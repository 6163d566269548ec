//! What changed between API versions, kind by kind, as data.

use serde_json::{Map, Value};

use super::Related;
use super::derive;
use super::rule::Rule::{self, Copy, Derive, Drop, Inline, Link, Null, Values};

/// The last version that changed the shape of an object in a breaking way. Endive's own break (`billing_cycle_anchor`) is one of parameters.
pub(super) const LAST_BREAK: &str = DAHLIA;

const DAHLIA: &str = "2026-03-25";
const CLOVER: &str = "2025-09-30";
const BASIL: &str = "2025-03-31";
const ACACIA: &str = "2024-09-30";
/// Refunds of a charge and charges of a payment intent became lists of their own.
const LISTS_APART: &str = "2022-11-15";

/// One kind's change: versions before `since` have the older shape.
struct Change {
    since: &'static str,
    kind: &'static str,
    undo: &'static [Rule],
}

const fn change(since: &'static str, kind: &'static str, undo: &'static [Rule]) -> Change {
    Change { since, kind, undo }
}

static CHANGES: &[Change] = &[
    // Dahlia renamed the modes of Checkout and added decimal quantities.
    change(
        DAHLIA,
        "checkout.session",
        &[Values("ui_mode", &[("hosted_page", "hosted"), ("embedded_page", "embedded"), ("elements", "custom")])],
    ),
    change(DAHLIA, "line_item", &[Drop("quantity_decimal")]),
    change(DAHLIA, "invoiceitem", &[Drop("quantity_decimal")]),
    // Clover: discounts and promotion codes name a source instead of carrying the coupon.
    change(CLOVER, "discount", &[Inline("coupon", "coupon", "source.coupon"), Drop("source")]),
    change(CLOVER, "promotion_code", &[Inline("coupon", "coupon", "promotion.coupon"), Drop("promotion")]),
    // Basil: periods moved to the items.
    change(
        BASIL,
        "subscription",
        &[
            Derive("current_period_start", derive::period_start),
            Derive("current_period_end", derive::period_end),
            Inline("discount", "discount", "discounts.0"),
            Derive("plan", derive::only_plan),
            Derive("quantity", derive::only_quantity),
        ],
    ),
    change(BASIL, "subscription_item", &[Drop("current_period_start"), Drop("current_period_end")]),
    // Basil: what an invoice belongs to moved to `parent`, how it was paid to `payments`, its taxes to `total_taxes`.
    change(
        BASIL,
        "invoice",
        &[
            Copy("subscription", &["parent.subscription_details.subscription"]),
            Derive("subscription_details", derive::subscription_details),
            Copy("quote", &["parent.quote_details.quote"]),
            Link("payment_intent"),
            Link("charge"),
            Derive("paid", derive::paid),
            Link("paid_out_of_band"),
            Derive("tax", derive::tax),
            Derive("total_tax_amounts", derive::total_tax_amounts),
            Inline("discount", "discount", "discounts.0"),
            Null("application_fee_amount"),
            Null("transfer_data"),
            Drop("parent"),
            Drop("payments"),
            Drop("confirmation_secret"),
            Drop("total_taxes"),
        ],
    ),
    change(
        BASIL,
        "line_item",
        &[
            Copy(
                "invoice_item",
                &["parent.invoice_item_details.invoice_item", "parent.subscription_item_details.invoice_item"],
            ),
            Copy(
                "subscription",
                &["parent.subscription_item_details.subscription", "parent.invoice_item_details.subscription"],
            ),
            Copy("subscription_item", &["parent.subscription_item_details.subscription_item"]),
            Derive("proration", derive::line_proration),
            Derive("proration_details", derive::line_proration_details),
            Derive("type", derive::line_type),
            Inline("price", "price", "pricing.price_details.price"),
            Inline("plan", "plan", "pricing.price_details.price"),
            Derive("tax_amounts", derive::line_tax_amounts),
            Derive("tax_rates", derive::no_values),
            Derive("amount_excluding_tax", derive::line_amount_excluding_tax),
            Copy("unit_amount_excluding_tax", &["pricing.unit_amount_decimal"]),
            Drop("pricing"),
            Drop("parent"),
            Drop("taxes"),
        ],
    ),
    change(
        BASIL,
        "invoiceitem",
        &[
            Copy("subscription", &["parent.subscription_details.subscription"]),
            Copy("subscription_item", &["parent.subscription_details.subscription_item"]),
            Inline("price", "price", "pricing.price_details.price"),
            Inline("plan", "plan", "pricing.price_details.price"),
            Derive("unit_amount", derive::unit_amount),
            Copy("unit_amount_decimal", &["pricing.unit_amount_decimal"]),
            Drop("pricing"),
            Drop("parent"),
        ],
    ),
    change(BASIL, "charge", &[Link("invoice")]),
    change(BASIL, "payment_intent", &[Link("invoice")]),
    change(
        BASIL,
        "credit_note",
        &[
            Copy("refund", &["refunds.0.refund"]),
            Derive("tax_amounts", derive::total_tax_amounts),
            Drop("refunds"),
            Drop("total_taxes"),
        ],
    ),
    change(
        BASIL,
        "credit_note_line_item",
        &[
            Derive("tax_amounts", derive::line_tax_amounts),
            Copy("amount_excluding_tax", &["amount"]),
            Copy("unit_amount_excluding_tax", &["unit_amount_decimal"]),
            Drop("taxes"),
        ],
    ),
    change(BASIL, "checkout.session", &[Copy("shipping_details", &["collected_information.shipping_details"])]),
    // Basil: usage records gave way to meters.
    change(BASIL, "plan", &[Null("aggregate_usage")]),
    change(BASIL, "price", &[Derive("recurring", derive::recurring_with_usage)]),
    // Basil: lists stopped counting.
    change(BASIL, "list", &[Derive("total_count", derive::total_count)]),
    // Before the named releases.
    change(ACACIA, "invoice", &[Null("rendering_options")]),
    change(ACACIA, "product", &[Derive("attributes", derive::no_values)]),
    change(LISTS_APART, "charge", &[Null("destination"), Link("dispute"), Null("order"), Link("refunds")]),
];

/// Gives a map, when it is an object of a kind that changed, the shape it had at a date.
pub(super) fn undo(target: &mut Map<String, Value>, date: &str, related: &dyn Related) {
    let Some(kind) = target.get("object").and_then(Value::as_str).map(str::to_owned) else { return };
    let mut changes = CHANGES.iter().filter(|change| change.kind == kind && date < change.since).peekable();
    if changes.peek().is_none() {
        return;
    }
    let source = target.clone();
    for rule in changes.flat_map(|change| change.undo) {
        rule.apply(&kind, &source, target, related);
    }
}
