//! Lists inside of objects: which there are, where their elements live, and what a read shows of them.

use serde_json::{Value, json};

/// Elements of an embedded list that a read shows.
pub(crate) const SHOWN_MAX: usize = 10;

/// A list inside of an object.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Embedded {
    /// Kind of the object.
    pub(crate) kind: &'static str,
    /// Property that holds the list.
    pub(crate) property: &'static str,
    /// Where the elements live.
    pub(crate) elements: Elements,
    /// Whether it is shown only when asked for with `expand[]`.
    pub(crate) hidden: bool,
    /// Its `url`; `{id}` is the object's.
    pub(crate) url: &'static str,
}

/// Where the elements of an embedded list live.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Elements {
    /// In the object itself, which stores the complete list under the property. The kind is that of the elements.
    Own(&'static str),
    /// In collections of their own; they name the object in the property.
    Apart(&'static [&'static str], &'static str),
}

const fn own(
    kind: &'static str,
    property: &'static str,
    of: &'static str,
    hidden: bool,
    url: &'static str,
) -> Embedded {
    Embedded { kind, property, elements: Elements::Own(of), hidden, url }
}

const fn apart(
    kind: &'static str,
    property: &'static str,
    (of, by): (&'static [&'static str], &'static str),
    hidden: bool,
    url: &'static str,
) -> Embedded {
    Embedded { kind, property, elements: Elements::Apart(of, by), hidden, url }
}

/// Every embedded list of the v1 API.
pub(crate) const EMBEDDED: [Embedded; 19] = [
    own("invoice", "lines", "line_item", false, "/v1/invoices/{id}/lines"),
    own("subscription", "items", "subscription_item", false, "/v1/subscription_items?subscription={id}"),
    own("credit_note", "lines", "credit_note_line_item", false, "/v1/credit_notes/{id}/lines"),
    own("checkout.session", "line_items", "item", true, "/v1/checkout/sessions/{id}/line_items"),
    own("payment_link", "line_items", "item", true, "/v1/payment_links/{id}/line_items"),
    own("quote", "line_items", "item", true, "/v1/quotes/{id}/line_items"),
    own("tax.calculation", "line_items", "tax.calculation_line_item", true, "/v1/tax/calculations/{id}/line_items"),
    own("tax.transaction", "line_items", "tax.transaction_line_item", true, "/v1/tax/transactions/{id}/line_items"),
    own(
        "payment_intent",
        "amount_details_line_items",
        "payment_intent_amount_details_line_item",
        true,
        "/v1/payment_intents/{id}/amount_details_line_items",
    ),
    apart("charge", "refunds", (&["refund"], "charge"), true, "/v1/charges/{id}/refunds"),
    apart("customer", "sources", (&["card", "bank_account", "source"], "customer"), true, "/v1/customers/{id}/sources"),
    apart("customer", "subscriptions", (&["subscription"], "customer"), true, "/v1/customers/{id}/subscriptions"),
    apart("customer", "tax_ids", (&["tax_id"], "customer"), true, "/v1/customers/{id}/tax_ids"),
    apart("invoice", "payments", (&["invoice_payment"], "invoice"), true, "/v1/invoice_payments?invoice={id}"),
    apart("transfer", "reversals", (&["transfer_reversal"], "transfer"), false, "/v1/transfers/{id}/reversals"),
    apart("application_fee", "refunds", (&["fee_refund"], "fee"), false, "/v1/application_fees/{id}/refunds"),
    apart(
        "account",
        "external_accounts",
        (&["card", "bank_account"], "account"),
        false,
        "/v1/accounts/{id}/external_accounts",
    ),
    apart(
        "radar.value_list",
        "list_items",
        (&["radar.value_list_item"], "value_list"),
        false,
        "/v1/radar/value_list_items?value_list={id}",
    ),
    apart("file", "links", (&["file_link"], "file"), false, "/v1/file_links?file={id}"),
];

/// The embedded lists of a kind.
pub(crate) fn of_kind(kind: &str) -> impl Iterator<Item = &'static Embedded> {
    EMBEDDED.iter().filter(move |embedded| embedded.kind == kind)
}

/// The embedded list whose elements are of a kind that lives inside of other objects.
pub(crate) fn owning(kind: &str) -> impl Iterator<Item = &'static Embedded> {
    EMBEDDED.iter().filter(move |embedded| matches!(embedded.elements, Elements::Own(of) if of == kind))
}

/// What a read shows of an object whose own lists are complete: hidden ones left out, the others cut. `None` when it shows all.
pub(crate) fn shown(kind: &str, object: &Value) -> Option<Value> {
    let concerned = |embedded: &&Embedded| match object.get(embedded.property) {
        None => false,
        Some(_) if embedded.hidden => true,
        Some(list) => list["data"].as_array().is_some_and(|data| data.len() > SHOWN_MAX),
    };
    let concerned: Vec<_> = of_kind(kind).filter(concerned).collect();
    if concerned.is_empty() {
        return None;
    }
    let mut shown = object.clone();
    let properties = shown.as_object_mut()?;
    for embedded in concerned {
        if embedded.hidden {
            properties.remove(embedded.property);
        } else if let Some(list) = properties.get_mut(embedded.property) {
            *list = cut(list, &embedded.url_of(object));
        }
    }
    Some(shown)
}

/// The first elements of a complete list.
pub(crate) fn cut(list: &Value, url: &str) -> Value {
    let data = list["data"].as_array().map_or(&[][..], Vec::as_slice);
    let first = data.get(..SHOWN_MAX).unwrap_or(data);
    json!({"object": "list", "data": first, "has_more": data.len() > SHOWN_MAX, "url": url})
}

impl Embedded {
    /// The list's `url` in an object.
    pub(crate) fn url_of(&self, object: &Value) -> String {
        self.url.replace("{id}", object["id"].as_str().unwrap_or_default())
    }
}
