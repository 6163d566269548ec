//! What people do in an hour.

use serde_json::Value;

use super::Plot;
use super::company::id_of;
use super::people::{Person, Stranger, any_card};
use crate::account::Account;
use crate::business::fields::Fields;
use crate::business::{call, complete_checkout, decide_dispute, open_dispute};
use crate::routes::Method::{Delete, Post};

/// Customers who come in a day, at first; there are more when there are more customers to tell of it.
const ARRIVALS_A_DAY: f64 = 1.6;
/// What one of a hundred customers adds to the arrivals of a day.
const WORD_OF_MOUTH: f64 = 0.01;
/// Most arrivals of a day.
const ARRIVALS_MAX: f64 = 6.0;
/// Of those who come, so many get a trial, or pay on Stripe's page.
const WITH_TRIAL: f64 = 0.55;
const BY_CHECKOUT: f64 = 0.2;

/// What a subscriber does, and how many times a day.
const OF_SUBSCRIBERS: [(Deed, f64); 9] = [
    (Deed::Upgrades, 1.0 / 60.0),
    (Deed::ChangesSeats, 1.0 / 40.0),
    (Deed::PlansToLeaveOrStays, 1.0 / 75.0),
    (Deed::LeavesAtOnce, 1.0 / 400.0),
    (Deed::IsRefused, 1.0 / 70.0),
    (Deed::EntersNewCard, 1.0 / 5.0),
    (Deed::WantsMoneyBack, 1.0 / 200.0),
    (Deed::Disputes, 1.0 / 700.0),
    (Deed::ChangesProfile, 1.0 / 45.0),
];
/// What somebody without a subscription does.
const OF_OTHERS: [(Deed, f64); 3] =
    [(Deed::ComesBack, 1.0 / 60.0), (Deed::IsForgotten, 1.0 / 120.0), (Deed::ChangesProfile, 1.0 / 90.0)];
/// How often a bank decides an open dispute, in times a day.
const DISPUTE_DECIDED: f64 = 1.0 / 20.0;

/// Something a customer does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    Upgrades,
    ChangesSeats,
    PlansToLeaveOrStays,
    LeavesAtOnce,
    IsRefused,
    EntersNewCard,
    WantsMoneyBack,
    Disputes,
    ChangesProfile,
    ComesBack,
    IsForgotten,
}

impl Plot {
    /// One simulated hour.
    pub(super) fn hour(&mut self, account: &mut Account) {
        let rate = (ARRIVALS_A_DAY + WORD_OF_MOUTH * self.people.len() as f64).min(ARRIVALS_MAX);
        if self.happens(rate) {
            self.somebody_comes(account);
        }
        for at in 0..self.people.len() {
            let mut person = self.people[at].clone();
            self.hour_of(account, &mut person);
            self.people[at] = person;
        }
        self.people.retain(|person| !person.customer.is_empty());
        self.decide_disputes(account);
    }

    /// Whether something that happens so many times a day happens in this hour.
    fn happens(&mut self, times_a_day: f64) -> bool {
        self.random.chance(times_a_day / 24.0)
    }

    fn somebody_comes(&mut self, account: &mut Account) {
        let stranger = Stranger::any(&mut self.random, self.people.len());
        if self.random.chance(BY_CHECKOUT) {
            self.comes_by_checkout(account, &stranger);
        } else {
            self.signs_up(account, &stranger);
        }
    }

    fn comes_by_checkout(&mut self, account: &mut Account, stranger: &Stranger) {
        let Some(price) = self.any_offer(stranger.currency) else { return };
        let form = [
            ("mode", "subscription"),
            ("line_items[0][price]", price.as_str()),
            ("line_items[0][quantity]", "1"),
            ("success_url", "https://fernhill.example.com/welcome"),
        ];
        let Ok(session) = call(account, Post, "/v1/checkout/sessions", &form) else { return };
        // Some look at the page and leave it.
        if self.random.chance(0.25) {
            return;
        }
        let card = any_card(&mut self.random);
        let Ok(done) = complete_checkout(account, &id_of(&session), &stranger.name, &stranger.email, card) else {
            return;
        };
        self.people.push(Person {
            customer: done.text("customer").to_owned(),
            email: stranger.email.clone(),
            currency: stranger.currency,
            subscription: done.reference("subscription").map(str::to_owned),
            refused: false,
        });
    }

    fn signs_up(&mut self, account: &mut Account, stranger: &Stranger) {
        let form = [
            ("name", stranger.name.as_str()),
            ("email", stranger.email.as_str()),
            ("address[country]", stranger.country),
            ("address[city]", stranger.city),
            ("metadata[source]", "website"),
        ];
        let Ok(customer) = call(account, Post, "/v1/customers", &form) else { return };
        let mut person = Person {
            customer: id_of(&customer),
            email: stranger.email.clone(),
            currency: stranger.currency,
            subscription: None,
            refused: false,
        };
        let card = any_card(&mut self.random);
        if enter_card(account, &person.customer, card) {
            let trial = self.random.chance(WITH_TRIAL);
            self.subscribe(account, &mut person, trial);
        }
        self.people.push(person);
    }

    fn any_offer(&mut self, currency: &str) -> Option<String> {
        let company = self.company.as_ref()?;
        let offers: Vec<_> = company.offers.iter().filter(|offer| offer.currency == currency).collect();
        // Three of four pay monthly.
        let wanted = if self.random.chance(0.75) { "month" } else { "year" };
        let offers: Vec<_> = offers.into_iter().filter(|offer| offer.interval == wanted).collect();
        self.random.pick(&offers).map(|offer| offer.price.clone())
    }

    fn subscribe(&mut self, account: &mut Account, person: &mut Person, trial: bool) {
        let Some(price) = self.any_offer(person.currency) else { return };
        let coupon = self.company.as_ref().and_then(|company| company.coupon.clone()).unwrap_or_default();
        let onboarding = self.company.as_ref().and_then(|company| company.onboarding.clone()).unwrap_or_default();
        let mut form = vec![("customer", person.customer.as_str()), ("items[0][price]", price.as_str())];
        if trial {
            form.push(("trial_period_days", "14"));
        } else if self.random.chance(0.2) {
            form.push(("discounts[0][coupon]", coupon.as_str()));
        } else if person.currency == "eur" && self.random.chance(0.1) {
            form.push(("add_invoice_items[0][price]", onboarding.as_str()));
        }
        if let Ok(subscription) = call(account, Post, "/v1/subscriptions", &form) {
            person.subscription = Some(id_of(&subscription));
        }
    }

    /// What somebody does in this hour, if anything. One draw decides about all deeds, so that a quiet hour costs nothing.
    fn any_deed(&mut self, deeds: &[(Deed, f64)]) -> Option<Deed> {
        let times: f64 = deeds.iter().map(|(_, times)| times).sum();
        if !self.happens(times) {
            return None;
        }
        let mut left = times * self.random.between(0, 1_000_000) as f64 / 1_000_000.0;
        let chosen = deeds.iter().find(|(_, times)| {
            left -= times;
            left < 0.0
        });
        chosen.map(|(deed, _)| *deed)
    }

    fn hour_of(&mut self, account: &mut Account, person: &mut Person) {
        let deed =
            if person.subscription.is_some() { self.any_deed(&OF_SUBSCRIBERS) } else { self.any_deed(&OF_OTHERS) };
        let Some(deed) = deed else { return };
        let held = person.subscription.as_ref().and_then(|id| account.get("subscription", id));
        match held {
            Some(held) if matches!(held.text("status"), "active" | "trialing" | "past_due") => {
                self.subscriber_does(account, person, &held, deed);
            }
            _ => {
                // It has ended meanwhile.
                person.subscription = None;
                self.other_does(account, person, deed);
            }
        }
    }

    fn subscriber_does(&mut self, account: &mut Account, person: &mut Person, held: &Value, deed: Deed) {
        let path = format!("/v1/subscriptions/{}", held.text("id"));
        match deed {
            Deed::Upgrades => self.upgrade(account, held),
            Deed::ChangesSeats => self.change_seats(account, held),
            Deed::PlansToLeaveOrStays if held.flag("cancel_at_period_end") => {
                let _ = call(account, Post, &path, &[("cancel_at_period_end", "false")]);
            }
            Deed::PlansToLeaveOrStays => {
                let form = [("cancel_at_period_end", "true"), ("cancellation_details[feedback]", "too_expensive")];
                let _ = call(account, Post, &path, &form);
            }
            Deed::LeavesAtOnce => drop(call(account, Delete, &path, &[])),
            Deed::IsRefused => {
                person.refused = true;
                account.business.refused.insert(person.customer.clone());
            }
            Deed::EntersNewCard if person.refused || held.text("status") == "past_due" => {
                self.new_card(account, person)
            }
            Deed::WantsMoneyBack => refund_last(account, &person.customer),
            Deed::Disputes => dispute_last(account, &person.customer),
            Deed::ChangesProfile => self.change_profile(account, person),
            Deed::EntersNewCard | Deed::ComesBack | Deed::IsForgotten => {}
        }
    }

    fn other_does(&mut self, account: &mut Account, person: &mut Person, deed: Deed) {
        match deed {
            Deed::ComesBack => {
                self.new_card(account, person);
                self.subscribe(account, person, false);
            }
            Deed::IsForgotten => {
                let _ = call(account, Delete, &format!("/v1/customers/{}", person.customer), &[]);
                person.customer.clear();
            }
            Deed::ChangesProfile => self.change_profile(account, person),
            _ => {}
        }
    }

    fn change_profile(&mut self, account: &mut Account, person: &Person) {
        let phone = format!("+49 30 {:07}", self.random.between(0, 10_000_000));
        let form = [("phone", phone.as_str()), ("email", person.email.as_str())];
        let _ = call(account, Post, &format!("/v1/customers/{}", person.customer), &form);
    }

    /// A new card, and what is open is paid with it.
    fn new_card(&mut self, account: &mut Account, person: &mut Person) {
        account.business.refused.remove(&person.customer);
        person.refused = false;
        let card = if self.random.chance(0.9) { "pm_card_mastercard" } else { "pm_card_chargeCustomerFail" };
        if !enter_card(account, &person.customer, card) {
            return;
        }
        if let Some(id) = &person.subscription {
            // The subscription may name the card that was refused.
            let _ = call(account, Post, &format!("/v1/subscriptions/{id}"), &[("default_payment_method", "")]);
        }
        for invoice in account.find("invoice", "customer", &person.customer) {
            if invoice.text("status") == "open" && invoice.flag("auto_advance") {
                let _ = call(account, Post, &format!("/v1/invoices/{}/pay", invoice.text("id")), &[]);
            }
        }
    }

    /// The next product up, or from monthly to yearly.
    fn upgrade(&mut self, account: &mut Account, held: &Value) {
        let Some(item) = held.elements("items").first() else { return };
        let Some(company) = &self.company else { return };
        let price = item.value("price").text("id");
        let Some(now) = company.offers.iter().find(|offer| offer.price == price) else { return };
        let interval = if self.random.chance(0.3) { "year" } else { now.interval };
        let rank = if interval == now.interval { now.rank + 1 } else { now.rank };
        let Some(next) = company.offer(rank, now.currency, interval).filter(|next| next.price != price) else { return };
        let form = [("items[0][id]", item.text("id")), ("items[0][price]", next.price.as_str())];
        let _ = call(account, Post, &format!("/v1/subscriptions/{}", held.text("id")), &form);
    }

    fn change_seats(&mut self, account: &mut Account, held: &Value) {
        let Some(item) = held.elements("items").first() else { return };
        let price = item.value("price").text("id");
        let by_seat = self
            .company
            .as_ref()
            .is_some_and(|company| company.offers.iter().any(|offer| offer.price == price && offer.by_seat));
        if by_seat {
            let seats = (item.int("quantity") + [1, 2, 3, -1][self.random.between(0, 4) as usize]).max(1).to_string();
            let form = [("items[0][id]", item.text("id")), ("items[0][quantity]", seats.as_str())];
            let _ = call(account, Post, &format!("/v1/subscriptions/{}", held.text("id")), &form);
        }
    }

    /// Every now and then a bank has read what there is to read.
    fn decide_disputes(&mut self, account: &mut Account) {
        let count = account.count("dispute");
        if count == 0 || !self.happens(DISPUTE_DECIDED * count as f64) {
            return;
        }
        let oldest_open = account.all("dispute").find(|dispute| dispute.text("status") == "needs_response");
        if let Some(dispute) = oldest_open {
            let won = self.random.chance(0.4);
            decide_dispute(account, dispute.text("id"), won);
        }
    }
}

/// Attaches a card and makes it the default. False when the bank refuses it outright.
fn enter_card(account: &mut Account, customer: &str, card: &str) -> bool {
    let Ok(method) = call(account, Post, &format!("/v1/payment_methods/{card}/attach"), &[("customer", customer)])
    else {
        return false;
    };
    let form = [("invoice_settings[default_payment_method]", method.text("id"))];
    call(account, Post, &format!("/v1/customers/{customer}"), &form).is_ok()
}

/// The last payment of a customer that was neither refunded nor disputed.
fn last_payment(account: &mut Account, customer: &str) -> Option<Value> {
    let fits = |charge: &Value| charge.flag("paid") && charge.int("amount_refunded") == 0 && !charge.flag("disputed");
    account.find("charge", "customer", customer).into_iter().rev().find(fits)
}

fn refund_last(account: &mut Account, customer: &str) {
    if let Some(charge) = last_payment(account, customer) {
        let form = [("charge", charge.text("id")), ("reason", "requested_by_customer")];
        let _ = call(account, Post, "/v1/refunds", &form);
    }
}

fn dispute_last(account: &mut Account, customer: &str) {
    if let Some(charge) = last_payment(account, customer) {
        open_dispute(account, charge.text("id"), "subscription_canceled");
    }
}
