//! What has to add up, whatever happened.

use std::collections::BTreeMap;

use billhook_simulator::Account;
use billhook_simulator::story::{Story, storm};
use serde_json::Value;

use crate::books::Books;

fn sum(values: &Value, property: &str) -> i64 {
    values.as_array().unwrap().iter().map(|value| value[property].as_i64().unwrap()).sum()
}

/// Two accounts with a history: one of a company, one of a storm.
fn histories() -> Vec<Account> {
    let mut company = Books::new();
    Story::new(3).run(&mut company.account, 90);
    let mut stormy = Books::new();
    storm(&mut stormy.account, 2_000, 3);
    vec![company.account, stormy.account]
}

#[test]
fn invoices_add_up() {
    for account in histories() {
        assert!(account.count("invoice") > 20);
        for invoice in account.all("invoice") {
            let lines = &invoice["lines"]["data"];
            let on_top: i64 = invoice["total_taxes"]
                .as_array()
                .unwrap()
                .iter()
                .filter(|tax| tax["tax_behavior"] == "exclusive")
                .map(|tax| tax["amount"].as_i64().unwrap())
                .sum();
            let off = sum(&invoice["total_discount_amounts"], "amount");
            let number = |name: &str| invoice[name].as_i64().unwrap_or_else(|| panic!("no {name} in {invoice}"));
            assert_eq!(number("subtotal"), sum(lines, "amount"), "{invoice}");
            assert_eq!(number("total"), number("subtotal") - off + on_top, "{invoice}");
            let line_discounts: i64 =
                lines.as_array().unwrap().iter().map(|line| sum(&line["discount_amounts"], "amount")).sum();
            assert_eq!(line_discounts, off, "{invoice}");
            if matches!(invoice["status"].as_str(), Some("open" | "paid" | "uncollectible")) {
                let due =
                    (number("total") + number("starting_balance")).max(0) - number("pre_payment_credit_notes_amount");
                assert_eq!(number("amount_due"), due, "{invoice}");
                assert_eq!(number("amount_paid") + number("amount_remaining"), due, "{invoice}");
            }
        }
    }
}

#[test]
fn the_balance_is_the_sum_of_its_transactions() {
    for mut account in histories() {
        let mut sums: BTreeMap<(String, String), i64> = BTreeMap::new();
        for transaction in account.all("balance_transaction") {
            assert_eq!(
                transaction["net"].as_i64(),
                Some(transaction["amount"].as_i64().unwrap() - transaction["fee"].as_i64().unwrap())
            );
            let key = (
                transaction["status"].as_str().unwrap().to_owned(),
                transaction["currency"].as_str().unwrap().to_owned(),
            );
            *sums.entry(key).or_default() += transaction["net"].as_i64().unwrap();
        }
        let balance = account.get("balance", "self").unwrap();
        for part in ["available", "pending"] {
            for entry in balance[part].as_array().unwrap() {
                let key = (part.to_owned(), entry["currency"].as_str().unwrap().to_owned());
                assert_eq!(entry["amount"].as_i64().unwrap(), sums.remove(&key).unwrap_or(0), "{key:?}");
            }
        }
        assert!(sums.is_empty(), "not in the balance: {sums:?}");
        // After a while everything that came in has been paid out.
        account.advance(10 * 86_400);
        let pending = account.get("balance", "self").unwrap();
        assert!(
            pending["pending"].as_array().unwrap().iter().all(|entry| entry["amount"].as_i64() < Some(2_000_000_000))
        );
    }
}

#[test]
fn charges_know_their_refunds() {
    for mut account in histories() {
        let charges: Vec<Value> = account.all("charge").collect();
        for charge in charges {
            let refunds = account.find("refund", "charge", charge["id"].as_str().unwrap());
            let back: i64 = refunds
                .iter()
                .filter(|refund| refund["status"] != "failed")
                .map(|refund| refund["amount"].as_i64().unwrap())
                .sum();
            assert_eq!(charge["amount_refunded"].as_i64(), Some(back), "{charge}");
            assert_eq!(charge["refunded"], back == charge["amount"].as_i64().unwrap() && back > 0);
        }
    }
}

/// What Stripe changes without an event: no event type exists, or none for this change.
const SILENT: [&str; 7] = [
    "balance",
    "checkout.session",
    "invoiceitem",
    "payment_intent",
    "setup_intent",
    "invoice_payment",
    "customer_balance_transaction",
];

#[test]
fn the_last_event_about_an_object_shows_it_as_it_is() {
    for account in histories() {
        let mut last: BTreeMap<(String, String), Value> = BTreeMap::new();
        for event in account.events().filter(|event| event.event_type != "invoice.upcoming") {
            let body: Value = serde_json::from_slice(&event.render("2026-10-28.endive", false, &account)).unwrap();
            last.insert((event.kind.clone(), event.object_id.clone()), body["data"]["object"].clone());
        }
        let mut compared = 0;
        for ((kind, id), shown) in last {
            let Some(mut stored) = account.get(&kind, &id) else { continue };
            if SILENT.contains(&kind.as_str()) {
                continue;
            }
            if let Some(data) =
                stored.pointer_mut("/lines/data").and_then(Value::as_array_mut).filter(|data| data.len() > 10)
            {
                data.truncate(10);
                stored["lines"]["has_more"] = true.into();
            }
            assert_eq!(shown, stored, "{kind} {id}");
            compared += 1;
        }
        assert!(compared > 200, "{compared}");
    }
}
