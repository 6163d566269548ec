//! The company: what it sells.

use serde_json::Value;

use crate::account::Account;
use crate::business::call;
use crate::business::money;
use crate::routes::Method::Post;

/// What the company is called.
const NAME: &str = "Fernhill Notes";

/// A way to buy a product again and again.
#[derive(Debug, Clone)]
pub(super) struct Offer {
    /// `price_…`.
    pub(super) price: String,
    pub(super) currency: &'static str,
    pub(super) interval: &'static str,
    /// Whether it is sold by the seat.
    pub(super) by_seat: bool,
    /// Where it stands among the products, from the cheapest.
    pub(super) rank: usize,
}

/// Products with their monthly price in hundredths of a euro or dollar; a year costs ten months.
const PRODUCTS: [(&str, &str, i64, bool); 3] = [
    ("Starter", "Notes for one person", 900, false),
    ("Pro", "Notes with history, search and export", 2_900, false),
    ("Team", "Shared notes for a company, by the seat", 1_200, true),
];
/// Currencies with how many of their minor units are worth a hundredth of a euro, in thousandths.
const CURRENCIES: [(&str, i64); 4] = [("eur", 1_000), ("usd", 1_100), ("gbp", 900), ("jpy", 1_600)];

/// The founded company.
#[derive(Debug)]
pub(super) struct Company {
    pub(super) offers: Vec<Offer>,
    /// A coupon for new customers.
    pub(super) coupon: Option<String>,
    /// A one-time price for help in the beginning.
    pub(super) onboarding: Option<String>,
}

impl Company {
    /// Creates the products, prices and the coupon. What an account refuses is left out.
    pub(super) fn found(account: &mut Account) -> Self {
        let mut offers = Vec::new();
        for (rank, (product, description, monthly, by_seat)) in PRODUCTS.into_iter().enumerate() {
            let form = [("name", product), ("description", description)];
            let Ok(made) = call(account, Post, "/v1/products", &form) else { continue };
            for (currency, worth) in CURRENCIES {
                for (interval, months) in [("month", 1), ("year", 10)] {
                    let amount = round(monthly * months * worth / 1_000, currency);
                    if let Some(price) = make_price(account, &made, currency, amount, Some(interval)) {
                        offers.push(Offer { price, currency, interval, by_seat, rank });
                    }
                }
            }
        }
        let form = [("id", "WELCOME"), ("percent_off", "25"), ("duration", "once"), ("name", "Welcome")];
        let coupon = call(account, Post, "/v1/coupons", &form).ok().map(|coupon| id_of(&coupon));
        let help = call(account, Post, "/v1/products", &[("name", "Onboarding call")]).ok();
        let onboarding = help.and_then(|help| make_price(account, &help, "eur", 12_000, None));
        Self { offers, coupon, onboarding }
    }

    /// The first line of the story.
    pub(super) fn opening(&self) -> String {
        format!("{NAME} opens for business with {} prices", self.offers.len())
    }

    /// The offer of a product in a currency and interval.
    pub(super) fn offer(&self, rank: usize, currency: &str, interval: &str) -> Option<&Offer> {
        self.offers.iter().find(|offer| offer.rank == rank && offer.currency == currency && offer.interval == interval)
    }
}

/// Prices look like prices: whole units, or in yen whole tens.
fn round(amount: i64, currency: &str) -> i64 {
    let unit = if money::decimals(currency) == 0 { 10 } else { 100 };
    (amount / unit).max(1) * unit
}

fn make_price(
    account: &mut Account,
    product: &Value,
    currency: &str,
    amount: i64,
    interval: Option<&str>,
) -> Option<String> {
    let (product, amount) = (id_of(product), amount.to_string());
    let mut form = vec![("product", product.as_str()), ("currency", currency), ("unit_amount", amount.as_str())];
    form.extend(interval.map(|interval| ("recurring[interval]", interval)));
    call(account, Post, "/v1/prices", &form).ok().map(|price| id_of(&price))
}

/// The id of an object.
pub(super) fn id_of(object: &Value) -> String {
    object["id"].as_str().unwrap_or_default().to_owned()
}
