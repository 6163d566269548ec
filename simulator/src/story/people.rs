//! The people of the story.

use crate::random::Random;

const GIVEN: [&str; 32] = [
    "Ada", "Bruno", "Carla", "Deniz", "Elif", "Farid", "Greta", "Hana", "Ines", "Jonas", "Kaito", "Lena", "Mateo",
    "Nora", "Oskar", "Priya", "Quentin", "Rosa", "Samir", "Tilda", "Umar", "Vera", "Wanda", "Ximena", "Yuki", "Zoe",
    "Amina", "Boris", "Chiara", "Diego", "Emeka", "Freya",
];
const FAMILY: [&str; 32] = [
    "Abel",
    "Brandt",
    "Costa",
    "Dahl",
    "Eriksen",
    "Fontaine",
    "Garcia",
    "Haas",
    "Ito",
    "Jansen",
    "Kowalski",
    "Lindqvist",
    "Moreau",
    "Novak",
    "Okafor",
    "Peeters",
    "Quist",
    "Rossi",
    "Sato",
    "Tanaka",
    "Ueda",
    "Varga",
    "Weber",
    "Xu",
    "Yilmaz",
    "Zeller",
    "Andersson",
    "Bianchi",
    "Castillo",
    "Dubois",
    "Egede",
    "Fischer",
];
/// Where people live, and what they pay in.
const HOMES: [(&str, &str, &str); 7] = [
    ("DE", "Berlin", "eur"),
    ("FR", "Lyon", "eur"),
    ("IE", "Galway", "eur"),
    ("NL", "Utrecht", "eur"),
    ("US", "Portland", "usd"),
    ("GB", "Leeds", "gbp"),
    ("JP", "Kobe", "jpy"),
];
/// Cards people pay with, with how many of a hundred have each.
const CARDS: [(&str, u64); 8] = [
    ("pm_card_visa", 45),
    ("pm_card_mastercard", 26),
    ("pm_card_amex", 8),
    ("pm_card_visa_debit", 9),
    ("pm_card_chargeCustomerFail", 7),
    ("pm_card_createDispute", 1),
    ("pm_card_riskLevelElevated", 2),
    ("pm_card_chargeDeclinedInsufficientFunds", 2),
];

/// Somebody who has come.
#[derive(Debug, Clone)]
pub(super) struct Person {
    pub(super) customer: String,
    pub(super) email: String,
    pub(super) currency: &'static str,
    /// The subscription, while there is one.
    pub(super) subscription: Option<String>,
    /// Whether the bank refuses payments at the moment.
    pub(super) refused: bool,
}

/// Somebody new: name, mail address, country, city, currency.
pub(super) struct Stranger {
    pub(super) name: String,
    pub(super) email: String,
    pub(super) country: &'static str,
    pub(super) city: &'static str,
    pub(super) currency: &'static str,
}

impl Stranger {
    /// Anybody.
    pub(super) fn any(random: &mut Random, count: usize) -> Self {
        let given = random.pick(&GIVEN).copied().unwrap_or("Ada");
        let family = random.pick(&FAMILY).copied().unwrap_or("Brandt");
        let (country, city, currency) = random.pick(&HOMES).copied().unwrap_or(("DE", "Berlin", "eur"));
        // Two people of one name have different addresses.
        let email = format!("{}.{}.{count}@example.com", given.to_lowercase(), family.to_lowercase());
        Self { name: format!("{given} {family}"), email, country, city, currency }
    }
}

/// A card, most often one that pays.
pub(super) fn any_card(random: &mut Random) -> &'static str {
    let mut at = random.between(0, CARDS.iter().map(|(_, share)| share).sum());
    for (card, share) in CARDS {
        if at < share {
            return card;
        }
        at -= share;
    }
    CARDS[0].0
}
