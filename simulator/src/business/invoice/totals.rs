//! The sums of an invoice: lines, discounts, taxes.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::account::Account;
use crate::business::discount;
use crate::business::fields::Fields;
use crate::business::money::{share, share_in};
use crate::business::shapes::{Object, set};

/// Computes everything that follows from the lines, the discounts and the default tax rates of an invoice that is not final yet.
///
/// `total` = sum of the lines − discounts + taxes that come on top.
pub(super) fn compute(account: &Account, invoice: &mut Object) {
    let mut lines = invoice.elements("lines").to_vec();
    let currency = invoice.text("currency").to_owned();
    let discounts: Vec<Value> = invoice.elements("discounts").to_vec();
    let rates = invoice.elements("default_tax_rates").to_vec();
    for line in &mut lines {
        set_line(line, json!({ "discount_amounts": [], "discounts": [] }));
    }
    let discounted: Vec<Value> =
        discounts.iter().filter_map(|id| id.as_str()).map(|id| apply(account, id, &currency, &mut lines)).collect();
    let mut by_rate = BTreeMap::new();
    for line in &mut lines {
        tax(line, &rates, &mut by_rate);
    }
    let subtotal: i64 = lines.iter().map(|line| line.int("amount")).sum();
    let off: i64 = discounted.iter().map(|discount| discount.int("amount")).sum();
    let taxes: Vec<Value> = by_rate.into_values().collect();
    let on_top: i64 =
        taxes.iter().filter(|tax| tax.text("tax_behavior") == "exclusive").map(|tax| tax.int("amount")).sum();
    let included: i64 = taxes.iter().map(|tax| tax.int("amount")).sum::<i64>() - on_top;
    let total = subtotal - off + on_top;
    if let Some(Value::Object(list)) = invoice.get_mut("lines") {
        list.insert("data".to_owned(), Value::from(lines));
    }
    set(
        invoice,
        json!({
            "amount_due": total.max(0), "amount_remaining": total.max(0), "subtotal": subtotal,
            "subtotal_excluding_tax": subtotal - included, "total": total, "total_discount_amounts": discounted,
            "total_excluding_tax": total - on_top - included, "total_taxes": taxes,
        }),
    );
}

fn set_line(line: &mut Value, with: Value) {
    if let Value::Object(line) = line {
        set(line, with);
    }
}

/// What is left of a line after the discounts applied so far.
fn left(line: &Value) -> i64 {
    line.int("amount") - line.elements("discount_amounts").iter().map(|part| part.int("amount")).sum::<i64>()
}

/// Takes one discount off the lines that may be discounted; gives its entry of `total_discount_amounts`.
fn apply(account: &Account, id: &str, currency: &str, lines: &mut [Value]) -> Value {
    let coupon = discount::coupon_of(account, id).unwrap_or_default();
    let open = |line: &Value| if line.flag("discountable") { left(line).max(0) } else { 0 };
    let base: i64 = lines.iter().map(open).sum();
    let fixed = coupon.time("amount_off").map(|amount| amount.min(base));
    let mut taken = 0;
    let mut seen = 0;
    for line in lines.iter_mut() {
        let part = open(line);
        // Shares of a fixed amount are cut from the running sum, so that they add up to it exactly.
        seen += part;
        let off = match fixed {
            Some(fixed) => share(fixed, seen, base) - taken,
            None => percent(part, coupon.value("percent_off"), currency),
        };
        if off != 0 {
            add_to_line(line, id, off);
            taken += off;
        }
    }
    json!({ "amount": taken, "discount": id })
}

fn add_to_line(line: &mut Value, discount: &str, amount: i64) {
    let mut amounts = line.elements("discount_amounts").to_vec();
    amounts.push(json!({ "amount": amount, "discount": discount }));
    let mut discounts = line.elements("discounts").to_vec();
    discounts.push(discount.into());
    set_line(line, json!({ "discount_amounts": amounts, "discounts": discounts }));
}

/// A percentage with up to four decimals of an amount.
fn percent(amount: i64, percentage: &Value, currency: &str) -> i64 {
    share_in(currency, amount, ten_thousandths(percentage), 1_000_000)
}

/// A percentage such as `19` or `7.7` times ten thousand, read from its decimal digits.
fn ten_thousandths(percentage: &Value) -> i64 {
    let text = percentage.to_string();
    let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
    let digits: String = fraction.chars().chain("0000".chars()).take(4).collect();
    format!("{whole}{digits}").parse().unwrap_or(0)
}

/// Taxes one line and adds to the sums by rate.
fn tax(line: &mut Value, rates: &[Value], by_rate: &mut BTreeMap<String, Value>) {
    let taxable = left(line);
    let mut taxes = Vec::with_capacity(rates.len());
    for rate in rates {
        let percentage = ten_thousandths(rate.value("percentage"));
        let inclusive = rate.flag("inclusive");
        let amount = if inclusive {
            share(taxable, percentage, 1_000_000 + percentage)
        } else {
            share(taxable, percentage, 1_000_000)
        };
        let taxable = if inclusive { taxable - amount } else { taxable };
        let entry = json!({
            "amount": amount, "tax_behavior": if inclusive { "inclusive" } else { "exclusive" },
            "tax_rate_details": { "tax_rate": rate.value("id") }, "taxability_reason": "not_available",
            "taxable_amount": taxable, "type": "tax_rate_details",
        });
        add_tax(by_rate.entry(rate.text("id").to_owned()).or_insert_with(|| json!({})), &entry);
        taxes.push(entry);
    }
    set_line(line, json!({ "taxes": taxes }));
}

fn add_tax(sum: &mut Value, entry: &Value) {
    let mut added: Map<String, Value> = entry.as_object().cloned().unwrap_or_default();
    for name in ["amount", "taxable_amount"] {
        added.insert(name.to_owned(), (sum.int(name) + entry.int(name)).into());
    }
    *sum = Value::Object(added);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_are_read_from_their_digits() {
        assert_eq!(
            [ten_thousandths(&json!(19)), ten_thousandths(&json!(7.7)), ten_thousandths(&json!(25.5))],
            [190_000, 77_000, 255_000]
        );
        assert_eq!(percent(2_900, &json!(25), "eur"), 725);
    }
}
