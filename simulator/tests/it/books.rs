//! An account without a server, and what tests of the business ask of it.

use std::fmt::Write as _;

use billhook_simulator::business::call;
use billhook_simulator::routes::Method;
use billhook_simulator::{Account, ApiError, ClockMode, Options};
use serde_json::Value;

/// 2027-01-10, noon. The month that follows has 31 days.
pub const START: i64 = 1_799_582_400;
pub const HOUR: i64 = 3_600;
pub const DAY: i64 = 24 * HOUR;

pub struct Books {
    pub account: Account,
}

impl Books {
    pub fn new() -> Self {
        Self { account: Account::new(&Options { clock: ClockMode::Manual(START), ..Options::default() }) }
    }

    pub fn try_post(&mut self, path: &str, form: &[(&str, &str)]) -> Result<Value, ApiError> {
        call(&mut self.account, Method::Post, path, form)
    }

    #[track_caller]
    pub fn post(&mut self, path: &str, form: &[(&str, &str)]) -> Value {
        self.try_post(path, form).unwrap_or_else(|error| panic!("POST {path}: {error}"))
    }

    #[track_caller]
    pub fn delete(&mut self, path: &str) -> Value {
        call(&mut self.account, Method::Delete, path, &[]).unwrap_or_else(|error| panic!("DELETE {path}: {error}"))
    }

    #[track_caller]
    pub fn get(&self, kind: &str, id: &str) -> Value {
        self.account.get(kind, id).unwrap_or_else(|| panic!("there is no {kind} {id}"))
    }

    /// A recurring price of a product of its own.
    pub fn price(&mut self, currency: &str, amount: &str, interval: &str) -> String {
        let product = self.post("/v1/products", &[("name", "Pro")]);
        let product = text(&product, "id");
        let form = [
            ("product", product.as_str()),
            ("currency", currency),
            ("unit_amount", amount),
            ("recurring[interval]", interval),
        ];
        text(&self.post("/v1/prices", &form), "id")
    }

    /// A customer whose default payment method is a new one of a test card.
    pub fn customer(&mut self, card: &str) -> String {
        let customer = text(&self.post("/v1/customers", &[("name", "Ada Brandt"), ("email", "ada@example.com")]), "id");
        self.new_card(&customer, card);
        customer
    }

    pub fn new_card(&mut self, customer: &str, card: &str) {
        let method = text(&self.post(&format!("/v1/payment_methods/{card}/attach"), &[("customer", customer)]), "id");
        let form = [("invoice_settings[default_payment_method]", method.as_str())];
        self.post(&format!("/v1/customers/{customer}"), &form);
    }

    pub fn subscribe(&mut self, customer: &str, price: &str, more: &[(&str, &str)]) -> Value {
        let mut form = vec![("customer", customer), ("items[0][price]", price)];
        form.extend_from_slice(more);
        self.post("/v1/subscriptions", &form)
    }

    pub fn invoices(&mut self, customer: &str) -> Vec<Value> {
        self.account.find("invoice", "customer", customer)
    }

    /// How many events there are now.
    pub fn mark(&self) -> usize {
        self.account.events().count()
    }

    /// The events since a mark, one a line: days and hours since the start, type. Those whose type begins with one of the prefixes in
    /// `without` are left out.
    pub fn history(&self, since: usize, without: &[&str]) -> String {
        let mut text = String::new();
        for event in self.account.events().skip(since) {
            if without.iter().any(|prefix| event.event_type.starts_with(prefix)) {
                continue;
            }
            let at = event.created - START;
            let _ = writeln!(text, "{}d{:02}h {}", at.div_euclid(DAY), at.rem_euclid(DAY) / HOUR, event.event_type);
        }
        text
    }

    /// The last event of a type, as it is delivered.
    #[track_caller]
    pub fn last(&self, event_type: &str) -> Value {
        let event = self.account.events().rev().find(|event| event.event_type == event_type);
        let event = event.unwrap_or_else(|| panic!("there is no event {event_type}"));
        serde_json::from_slice(&event.render("2026-10-28.endive", false, &self.account)).unwrap()
    }
}

pub fn text(object: &Value, property: &str) -> String {
    object[property].as_str().unwrap_or_else(|| panic!("no {property} in {object}")).to_owned()
}

/// Compares histories without the indentation of the expected one.
#[track_caller]
pub fn assert_history(got: &str, expected: &str) {
    let expected: Vec<&str> = expected.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    assert_eq!(got.lines().collect::<Vec<_>>(), expected, "{got}");
}
