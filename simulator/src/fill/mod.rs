//! Large histories, made quickly: for benches and for tests of many objects.
//!
//! The objects have the shapes and sizes of real ones. They are written as text and stored as they are, without events.

mod customer;
mod event;
mod invoice;

use bytes::Bytes;

use crate::account::Account;

/// How far back a filled history reaches, in seconds: four years.
const HISTORY_SECONDS: u64 = 4 * 365 * 86_400;

/// Names of people; first and family names are drawn apart.
const FIRST_NAMES: [&str; 12] =
    ["Ada", "Bruno", "Chiara", "Dmitri", "Esra", "Femi", "Gudrun", "Hiro", "Inès", "Jonas", "Kamala", "Liam"];
const FAMILY_NAMES: [&str; 12] =
    ["Abt", "Berg", "Costa", "Dietz", "Ekwueme", "Fischer", "García", "Haddad", "Ito", "Jansen", "Kaya", "Lund"];
const CITIES: [(&str, &str, &str); 6] = [
    ("Berlin", "DE", "10115"),
    ("Lyon", "FR", "69001"),
    ("Portland", "US", "97201"),
    ("Osaka", "JP", "530-0001"),
    ("Porto", "PT", "4000-008"),
    ("Toronto", "CA", "M5H 2N2"),
];
const CURRENCIES: [&str; 4] = ["usd", "eur", "gbp", "jpy"];
const PRODUCTS: [(&str, u64); 4] = [("Starter", 1_900), ("Team", 4_900), ("Business", 14_900), ("Extra seat", 900)];

/// The time of one of `count` objects that are spread over the history up to now. Now and then two share a second.
fn created(now: i64, at: usize, count: usize) -> i64 {
    let span = HISTORY_SECONDS.min(u64::try_from(now).unwrap_or(0));
    let before = span - span * (at as u64 + 1) / (count.max(1) as u64);
    // Every sixteenth falls into the second of the one before it.
    let shared = if at % 16 == 15 { span / count.max(1) as u64 } else { 0 };
    now - i64::try_from(before + shared).unwrap_or(0)
}

impl Account {
    /// Stores so many customers of about 1.2 kB each, created over the last four years. Returns their ids, oldest first.
    pub fn fill_customers(&mut self, count: usize) -> Vec<String> {
        let now = self.now();
        (0..count)
            .map(|at| {
                let (id, json) = customer::write(self, created(now, at, count), at);
                self.insert_written("customer", &id, created(now, at, count), Bytes::from(json), None);
                id
            })
            .collect()
    }

    /// Stores so many paid or open invoices with so many lines each, of customers that are there or of made-up ids. Returns their
    /// ids, oldest first.
    pub fn fill_invoices(&mut self, count: usize, lines: usize) -> Vec<String> {
        let now = self.now();
        let customers: Vec<String> = self.ids("customer");
        (0..count)
            .map(|at| {
                let at_time = created(now, at, count);
                let customer = self.random().pick(&customers).cloned();
                let customer = customer.unwrap_or_else(|| self.new_id_at("cus_", at_time));
                let written = invoice::write(self, &customer, at_time, at, lines);
                let shown = written.shown.map(Bytes::from);
                self.insert_written("invoice", &written.id, at_time, Bytes::from(written.json), shown);
                written.id
            })
            .collect()
    }

    /// Makes so many events that nobody received, spread over the last 20 days: customers that are created and changed. Returns
    /// the ids of the customers.
    pub fn fill_events(&mut self, count: usize) -> Vec<String> {
        event::fill(self, count)
    }
}
