//! Many changes of many objects in a short time.

use serde_json::{Value, json};

use crate::account::Account;
use crate::business::call;
use crate::business::fields::Fields;
use crate::mutate::event_of;
use crate::random::Random;
use crate::routes::Method::{Delete, Post};

/// Kinds without a business of their own that the storm makes, changes and removes.
const PLAIN: [&str; 10] = [
    "billing.meter",
    "file_link",
    "identity.verification_session",
    "issuing.cardholder",
    "payment_link",
    "quote",
    "radar.value_list",
    "shipping_rate",
    "topup",
    "transfer",
];
/// Kinds of the business that are changed through the API by their metadata.
const CHANGED: [(&str, &str); 9] = [
    ("customer", "/v1/customers/"),
    ("product", "/v1/products/"),
    ("price", "/v1/prices/"),
    ("coupon", "/v1/coupons/"),
    ("subscription", "/v1/subscriptions/"),
    ("charge", "/v1/charges/"),
    ("invoice", "/v1/invoices/"),
    ("tax_rate", "/v1/tax_rates/"),
    ("payment_method", "/v1/payment_methods/"),
];
/// Of each kind at least so many are there before one may be removed.
const KEPT: usize = 5;
/// How many of the newest objects of a kind are changed: the fewer, the more changes of one object fall into one second.
const RECENT: u64 = 40;

/// A storm: the same seed does the same to accounts that are the same.
#[derive(Debug)]
pub struct Storm {
    random: Random,
    made: u64,
    /// Recurring prices.
    prices: Vec<String>,
}

impl Storm {
    /// A storm that has not begun.
    pub fn new(seed: u64) -> Self {
        Self { random: Random::new(seed), made: 0, prices: Vec::new() }
    }

    /// Makes so many changes: objects are created, changed and removed, several within one second of the account's clock, which is moved
    /// a second forward after every few of them. A change may have further ones as its consequence.
    pub fn run(&mut self, account: &mut Account, changes: usize) {
        if self.made == 0 {
            self.begin(account);
        }
        for _ in 0..changes {
            self.made += 1;
            self.change(account);
            if self.random.chance(0.2) {
                account.advance(1);
            }
        }
    }

    fn begin(&mut self, account: &mut Account) {
        for name in ["Basic", "Plus"] {
            let Ok(product) = call(account, Post, "/v1/products", &[("name", name)]) else { return };
            for (currency, amount) in [("eur", "1500"), ("jpy", "2400"), ("kwd", "5120")] {
                let form = [
                    ("product", product.text("id")),
                    ("currency", currency),
                    ("unit_amount", amount),
                    ("recurring[interval]", "month"),
                ];
                self.prices.extend(call(account, Post, "/v1/prices", &form).map(|price| price.text("id").to_owned()));
            }
        }
    }

    fn change(&mut self, account: &mut Account) {
        match self.random.between(0, 100) {
            0..=24 => self.create(account),
            25..=64 => self.update(account),
            65..=69 => self.flip(account),
            70..=84 => self.plain(account),
            85..=91 => self.remove(account),
            _ => self.act(account),
        }
    }

    /// One of the newest objects of a kind.
    fn any(&mut self, account: &Account, kind: &str) -> Option<Value> {
        let count = account.count(kind) as u64;
        let back = usize::try_from(self.random.between(0, count.min(RECENT))).ok()?;
        account.recent(kind, back)
    }

    fn create(&mut self, account: &mut Account) {
        let name = format!("Object {}", self.made);
        match self.random.between(0, 8) {
            0 | 1 => self.create_customer(account, &name),
            2 => drop(call(account, Post, "/v1/products", &[("name", &name)])),
            3 => {
                let form = [("percent_off", "12.5"), ("duration", "forever"), ("name", &name)];
                let _ = call(account, Post, "/v1/coupons", &form);
            }
            4 => {
                let form = [("display_name", "VAT"), ("percentage", "19"), ("inclusive", "false")];
                let _ = call(account, Post, "/v1/tax_rates", &form);
            }
            5 => self.subscribe(account),
            6 => self.invoice(account),
            _ => {
                let amount = self.random.between(1, 100_000).to_string();
                let form = [
                    ("amount", amount.as_str()),
                    ("currency", "usd"),
                    ("payment_method", "pm_card_visa"),
                    ("confirm", "true"),
                ];
                let _ = call(account, Post, "/v1/payment_intents", &form);
            }
        }
    }

    fn create_customer(&mut self, account: &mut Account, name: &str) {
        let email = format!("object.{}@example.com", self.made);
        let Ok(customer) = call(account, Post, "/v1/customers", &[("name", name), ("email", &email)]) else { return };
        let path = "/v1/payment_methods/pm_card_visa/attach";
        let Ok(method) = call(account, Post, path, &[("customer", customer.text("id"))]) else { return };
        let form = [("invoice_settings[default_payment_method]", method.text("id"))];
        let _ = call(account, Post, &format!("/v1/customers/{}", customer.text("id")), &form);
    }

    fn subscribe(&mut self, account: &mut Account) {
        let Some(customer) = self.any(account, "customer") else { return };
        let Some(price) = self.random.pick(&self.prices) else { return };
        let quantity = self.random.between(1, 9).to_string();
        let form = [
            ("customer", customer.text("id")),
            ("items[0][price]", price.as_str()),
            ("items[0][quantity]", quantity.as_str()),
        ];
        let _ = call(account, Post, "/v1/subscriptions", &form);
    }

    fn invoice(&mut self, account: &mut Account) {
        let Some(customer) = self.any(account, "customer") else { return };
        let currency = customer.value("currency").as_str().unwrap_or("eur").to_owned();
        let Ok(draft) =
            call(account, Post, "/v1/invoices", &[("customer", customer.text("id")), ("currency", &currency)])
        else {
            return;
        };
        for _ in 0..self.random.between(1, 14) {
            let amount = (self.random.between(1, 500) * 100).to_string();
            let form = [
                ("customer", customer.text("id")),
                ("invoice", draft.text("id")),
                ("amount", amount.as_str()),
                ("currency", currency.as_str()),
            ];
            let _ = call(account, Post, "/v1/invoiceitems", &form);
        }
    }

    fn update(&mut self, account: &mut Account) {
        let Some((kind, path)) = self.random.pick(&CHANGED).copied() else { return };
        let Some(object) = self.any(account, kind) else { return };
        let stamp = self.made.to_string();
        // Often twice in the same second.
        for _ in 0..self.random.between(1, 3) {
            let key = format!("metadata[key{}]", self.random.between(0, 4));
            let _ = call(account, Post, &format!("{path}{}", object.text("id")), &[(&key, &stamp)]);
        }
    }

    /// A value that changes and changes back within one second.
    fn flip(&mut self, account: &mut Account) {
        let Some(product) = self.any(account, "product") else { return };
        let path = format!("/v1/products/{}", product.text("id"));
        let (now, other) = if product.flag("active") { ("true", "false") } else { ("false", "true") };
        let _ = call(account, Post, &path, &[("active", other)]);
        let _ = call(account, Post, &path, &[("active", now)]);
    }

    fn plain(&mut self, account: &mut Account) {
        let Some(kind) = self.random.pick(&PLAIN).copied() else { return };
        let stamp = self.made.to_string();
        if account.count(kind) < KEPT || self.random.chance(0.4) {
            let mut object = account.plain(kind);
            object.insert("metadata".to_owned(), json!({ "stamp": stamp }));
            account.insert(Value::Object(object), event_of(kind, "created"));
        } else if event_of(kind, "created").is_some() && event_of(kind, "updated").is_none() {
            // Stripe would tell nobody.
        } else if let Some(object) = self.any(account, kind) {
            let _ = account.update(kind, object.text("id"), event_of(kind, "updated"), |object| {
                object.insert("metadata".to_owned(), json!({ "stamp": stamp }));
            });
        }
    }

    fn remove(&mut self, account: &mut Account) {
        let kinds = [
            ("customer", "/v1/customers/"),
            ("coupon", "/v1/coupons/"),
            ("product", "/v1/products/"),
            ("invoice", "/v1/invoices/"),
        ];
        let Some((kind, path)) = self.random.pick(&kinds).copied() else { return };
        if account.count(kind) > KEPT
            && let Some(object) = self.any(account, kind)
        {
            // Products with prices and final invoices are refused.
            let _ = call(account, Delete, &format!("{path}{}", object.text("id")), &[]);
        }
    }

    /// What changes several objects at once.
    fn act(&mut self, account: &mut Account) {
        match self.random.between(0, 5) {
            0 => {
                let Some(held) = self.any(account, "subscription") else { return };
                let _ = call(account, Delete, &format!("/v1/subscriptions/{}", held.text("id")), &[]);
            }
            1 => {
                let Some(held) = self.any(account, "subscription") else { return };
                let Some(item) = held.elements("items").first() else { return };
                let quantity = self.random.between(1, 20).to_string();
                let form = [("items[0][id]", item.text("id")), ("items[0][quantity]", quantity.as_str())];
                let _ = call(account, Post, &format!("/v1/subscriptions/{}", held.text("id")), &form);
            }
            2 => {
                let Some(charge) = self.any(account, "charge") else { return };
                let form = [("charge", charge.text("id")), ("amount", "1")];
                let _ = call(account, Post, "/v1/refunds", &form);
            }
            3 => {
                let Some(invoice) = self.any(account, "invoice") else { return };
                let _ = call(account, Post, &format!("/v1/invoices/{}/pay", invoice.text("id")), &[]);
            }
            _ => {
                let Some(invoice) = self.any(account, "invoice") else { return };
                let _ = call(account, Post, &format!("/v1/invoices/{}/void", invoice.text("id")), &[]);
            }
        }
    }
}

/// A storm of so many changes in one go.
pub fn storm(account: &mut Account, changes: usize, seed: u64) {
    Storm::new(seed).run(account, changes);
}
