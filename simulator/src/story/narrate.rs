//! Events in plain words.

use std::ops::Bound;

use serde_json::Value;

use super::{Line, Plot};
use crate::account::Account;
use crate::account::collection::parse;
use crate::business::calendar::{long_date, short_date};
use crate::business::fields::Fields;
use crate::business::money::display;

/// Appends a line for each event since the last that was told, where it has something to say.
pub(super) fn tell(plot: &mut Plot, account: &Account) {
    let from = plot.told.map_or(Bound::Unbounded, Bound::Excluded);
    let mut lines = Vec::new();
    for (place, event) in account.log.snapshots.range((from, Bound::Unbounded)) {
        plot.told = Some(*place);
        let object = parse(&event.object);
        let before = event.before.as_ref().map(|before| parse(before)).unwrap_or_default();
        let text = subscription_line(account, &event.event_type, &object, &before)
            .or_else(|| money_line(account, &event.event_type, &object, &before));
        lines.extend(text.map(|text| Line { at: event.created, text }));
    }
    plot.lines.extend(lines);
}

/// The name of the customer an object belongs to; those who were deleted have none any more.
fn who(account: &Account, object: &Value) -> String {
    let customer = object.reference("customer").and_then(|customer| account.get("customer", customer));
    customer.map_or_else(|| "Somebody".to_owned(), |customer| customer.text("name").to_owned())
}

/// `Pro monthly (€29.00)` or `5 × Team monthly (€60.00)`.
fn what(account: &Account, subscription: &Value) -> String {
    let Some(item) = subscription.elements("items").first() else { return "nothing".to_owned() };
    let price = item.value("price");
    let product = price.reference("product").and_then(|product| account.get("product", product)).unwrap_or_default();
    let every = match price.value("recurring").text("interval") {
        "month" => "monthly",
        "year" => "yearly",
        other => other,
    };
    let quantity = item.int("quantity");
    let amount = display(price.int("unit_amount") * quantity, price.text("currency"));
    let seats = if quantity > 1 { format!("{quantity} × ") } else { String::new() };
    format!("{seats}{} {every} ({amount})", product.text("name"))
}

fn subscription_line(account: &Account, event: &str, held: &Value, before: &Value) -> Option<String> {
    let name = || who(account, held);
    match event {
        "customer.subscription.created" => Some(match held.text("status") {
            "trialing" => {
                format!(
                    "{} subscribed to {}, trial until {}",
                    name(),
                    what(account, held),
                    short_date(held.int("trial_end"))
                )
            }
            "incomplete" => format!("{} wanted {}, but the card was refused", name(), what(account, held)),
            _ => format!("{} subscribed to {}", name(), what(account, held)),
        }),
        "customer.subscription.trial_will_end" => {
            Some(format!("The trial of {} ends on {}", name(), short_date(held.int("trial_end"))))
        }
        "customer.subscription.deleted" => Some(match held.value("cancellation_details").text("reason") {
            "payment_failed" => format!("{} never paid: the subscription has ended", name()),
            _ => format!("{} has left: {} has ended", name(), what(account, held)),
        }),
        "customer.subscription.updated" => change_line(account, held, before),
        _ => None,
    }
}

fn change_line(account: &Account, held: &Value, before: &Value) -> Option<String> {
    let name = || who(account, held);
    let first = |subscription: &Value| {
        let item = subscription.elements("items").first().cloned().unwrap_or_default();
        (item.value("price").text("id").to_owned(), item.int("quantity"))
    };
    if first(held).0 != first(before).0 {
        return Some(format!("{} changed from {} to {}", name(), what(account, before), what(account, held)));
    }
    if first(held).1 != first(before).1 {
        return Some(format!("{} now has {}", name(), what(account, held)));
    }
    match (before.flag("cancel_at_period_end"), held.flag("cancel_at_period_end")) {
        (false, true) => Some(format!("{} is going to leave on {}", name(), long_date(held.int("cancel_at")))),
        (true, false) => Some(format!("{} stays after all", name())),
        _ => match (before.text("status"), held.text("status")) {
            ("past_due" | "unpaid", "active") => Some(format!("{} is paying again", name())),
            ("trialing", "active") => Some(format!("The trial of {} is over", name())),
            _ => None,
        },
    }
}

fn money_line(account: &Account, event: &str, object: &Value, before: &Value) -> Option<String> {
    let amount = |property: &str| display(object.int(property), object.text("currency"));
    let name = || who(account, object);
    match event {
        "invoice.payment_succeeded" if object.int("amount_paid") > 0 => {
            let why = match object.text("billing_reason") {
                "subscription_cycle" => "the renewal",
                "subscription_create" => "the first invoice",
                _ => "an invoice",
            };
            Some(format!("{} paid {} for {why}", name(), amount("amount_paid")))
        }
        "invoice.payment_failed" => {
            let next = object.time("next_payment_attempt").map(|at| format!(", next attempt on {}", short_date(at)));
            let attempt = object.int("attempt_count");
            Some(format!(
                "{} could not pay {} (attempt {attempt}{})",
                name(),
                amount("amount_due"),
                next.unwrap_or_default()
            ))
        }
        "charge.refunded" => {
            let back = object.int("amount_refunded") - before.int("amount_refunded");
            Some(format!("{} got {} back", name(), display(back, object.text("currency"))))
        }
        "charge.dispute.created" => {
            Some(format!("A bank disputes a payment of {} as {}", amount("amount"), object.text("reason")))
        }
        "charge.dispute.closed" => Some(format!("The dispute about {} is {}", amount("amount"), object.text("status"))),
        "checkout.session.expired" => Some("Somebody looked at the checkout page and left".to_owned()),
        "customer.deleted" => Some(format!("{} asked to be forgotten", object.text("name"))),
        "payout.paid" => Some(format!("{} arrived at the bank", amount("amount"))),
        _ => None,
    }
}
