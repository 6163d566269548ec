//! Stripe's test cards: numbers, `pm_card_…` names, and what happens when they are charged.

use serde_json::{Value, json};

use crate::error::ApiError;

/// What a card does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Behaviour {
    /// Payments succeed.
    Pays,
    /// Refused always, already when it is attached to a customer: `code`, `decline_code`.
    Declines(&'static str, Option<&'static str>),
    /// Can be attached; payments are refused.
    DeclinesPayments,
    /// Asks the customer to authenticate; refused without one present.
    Authenticates,
    /// Pays, and the payment is disputed as fraudulent.
    Disputed,
    /// Pays, and an early fraud warning follows.
    Warned,
    /// Pays, and a review is opened.
    Reviewed,
    /// Pays; refunds fail.
    RefundsFail,
}

/// A test card.
#[derive(Debug)]
pub(crate) struct Card {
    number: &'static str,
    /// `visa` of `pm_card_visa` and `tok_visa`.
    name: &'static str,
    brand: &'static str,
    funding: &'static str,
    country: &'static str,
    pub(crate) behaviour: Behaviour,
}

const fn card(
    number: &'static str,
    name: &'static str,
    (brand, funding, country): (&'static str, &'static str, &'static str),
    behaviour: Behaviour,
) -> Card {
    Card { number, name, brand, funding, country, behaviour }
}

const VISA: (&str, &str, &str) = ("visa", "credit", "US");

/// Every card the simulator knows.
static CARDS: [Card; 22] = [
    card("4242424242424242", "visa", VISA, Behaviour::Pays),
    card("4000056655665556", "visa_debit", ("visa", "debit", "US"), Behaviour::Pays),
    card("5555555555554444", "mastercard", ("mastercard", "credit", "US"), Behaviour::Pays),
    card("5200828282828210", "mastercard_debit", ("mastercard", "debit", "US"), Behaviour::Pays),
    card("378282246310005", "amex", ("amex", "credit", "US"), Behaviour::Pays),
    card("6011111111111117", "discover", ("discover", "credit", "US"), Behaviour::Pays),
    card("3056930009020004", "diners", ("diners", "credit", "US"), Behaviour::Pays),
    card("3566002020360505", "jcb", ("jcb", "credit", "US"), Behaviour::Pays),
    card("4000002760000016", "de", ("visa", "credit", "DE"), Behaviour::Pays),
    card("4000008260000000", "gb", ("visa", "credit", "GB"), Behaviour::Pays),
    card("4000000000000002", "chargeDeclined", VISA, Behaviour::Declines("card_declined", Some("generic_decline"))),
    card(
        "4000000000009995",
        "chargeDeclinedInsufficientFunds",
        VISA,
        Behaviour::Declines("card_declined", Some("insufficient_funds")),
    ),
    card("4000000000000069", "chargeDeclinedExpiredCard", VISA, Behaviour::Declines("expired_card", None)),
    card("4000000000000127", "chargeDeclinedIncorrectCvc", VISA, Behaviour::Declines("incorrect_cvc", None)),
    card("4000000000000119", "chargeDeclinedProcessingError", VISA, Behaviour::Declines("processing_error", None)),
    card(
        "4100000000000019",
        "chargeDeclinedFraudulent",
        VISA,
        Behaviour::Declines("card_declined", Some("fraudulent")),
    ),
    card("4000000000000341", "chargeCustomerFail", VISA, Behaviour::DeclinesPayments),
    card("4000002760003184", "authenticationRequired", ("visa", "credit", "DE"), Behaviour::Authenticates),
    card("4000000000000259", "createDispute", VISA, Behaviour::Disputed),
    card("4000000000005423", "createIssuerFraudRecord", VISA, Behaviour::Warned),
    card("4000000000009235", "riskLevelElevated", VISA, Behaviour::Reviewed),
    card("4000000000005126", "refundFail", VISA, Behaviour::RefundsFail),
];

/// The card with a number, as `card[number]` gives it.
pub(crate) fn by_number(number: &str) -> Option<&'static Card> {
    let digits: String = number.chars().filter(char::is_ascii_digit).collect();
    CARDS.iter().find(|card| card.number == digits)
}

/// The card that `pm_card_visa` or `tok_visa` names.
pub(crate) fn by_token(token: &str) -> Option<&'static Card> {
    let name = token.strip_prefix("pm_card_").or_else(|| token.strip_prefix("tok_"))?;
    CARDS.iter().find(|card| card.name == name)
}

/// What a payment method or card does; one that is no test card pays.
pub(crate) fn behaviour_of(payment_method: &Value) -> Behaviour {
    let details = payment_method.get("card").unwrap_or(&Value::Null);
    let fingerprint = details.get("fingerprint").or_else(|| payment_method.get("fingerprint")).and_then(Value::as_str);
    CARDS
        .iter()
        .find(|card| Some(card.fingerprint().as_str()) == fingerprint)
        .map_or(Behaviour::Pays, |card| card.behaviour)
}

impl Card {
    /// The last four digits.
    pub(crate) fn last4(&self) -> &'static str {
        self.number.get(self.number.len() - 4..).unwrap_or_default()
    }

    /// Sixteen letters and digits that depend on the number alone.
    fn fingerprint(&self) -> String {
        let mut random = crate::random::Random::new(self.number.parse().unwrap_or(0));
        let mut fingerprint = String::with_capacity(16);
        random.push_letters(&mut fingerprint, 16);
        fingerprint
    }

    /// `card` of a payment method.
    pub(crate) fn details(&self, exp_month: i64, exp_year: i64) -> Value {
        json!({
            "brand": self.brand,
            "checks": { "address_line1_check": null, "address_postal_code_check": null, "cvc_check": "pass" },
            "country": self.country,
            "display_brand": self.brand,
            "exp_month": exp_month,
            "exp_year": exp_year,
            "fingerprint": self.fingerprint(),
            "funding": self.funding,
            "generated_from": null,
            "last4": self.last4(),
            "networks": { "available": [self.brand], "preferred": null },
            "regulated_status": "unregulated",
            "three_d_secure_usage": { "supported": true },
            "wallet": null,
        })
    }
}

/// The error of a refused payment.
pub(crate) fn refusal(code: &str, decline_code: Option<&str>) -> ApiError {
    let message = match (code, decline_code) {
        (_, Some("insufficient_funds")) => "Your card has insufficient funds.",
        ("expired_card", _) => "Your card has expired.",
        ("incorrect_cvc", _) => "Your card's security code is incorrect.",
        ("processing_error", _) => "An error occurred while processing your card. Try again in a little bit.",
        ("authentication_required", _) => "Your card was declined. This transaction requires authentication.",
        _ => "Your card was declined.",
    };
    ApiError::card(code, decline_code, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_are_found_by_number_and_by_name() {
        assert_eq!(by_number("4242 4242 4242 4242").map(Card::last4), Some("4242"));
        assert_eq!(by_token("pm_card_visa").map(|card| card.number), Some("4242424242424242"));
        assert_eq!(by_token("tok_chargeDeclined").map(Card::last4), Some("0002"));
        assert!(by_token("pm_1abc").is_none() && by_number("4111").is_none());
    }

    #[test]
    fn a_payment_method_behaves_as_its_card() {
        for card in &CARDS {
            let method = json!({ "card": card.details(8, 2030) });
            assert_eq!(behaviour_of(&method), card.behaviour, "{}", card.name);
        }
    }
}
