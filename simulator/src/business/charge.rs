//! Charges: what a payment method's bank answers.

use serde_json::{Value, json};

use super::balance::{self, Movement};
use super::fields::Fields;
use super::record::{add, change, made};
use super::take::Take;
use super::timing::now_of;
use super::{dispute, money, radar};
use crate::account::Account;
use crate::error::ApiError;
use crate::params::Params;
use crate::routes::{WriteRoute, post};

use super::test_cards::{Behaviour, behaviour_of, refusal};

pub(super) static ROUTES: &[WriteRoute] =
    &[post("/v1/charges", create), post("/v1/charges/{id}", update), post("/v1/charges/{id}/capture", capture)];

/// What shall be charged.
pub(super) struct Ask<'a> {
    pub(super) amount: i64,
    pub(super) currency: &'a str,
    pub(super) customer: Option<&'a str>,
    pub(super) intent: Option<&'a str>,
    pub(super) description: Option<&'a str>,
    /// False leaves the money authorised only.
    pub(super) capture: bool,
    /// Whether nobody is there to authenticate.
    pub(super) off_session: bool,
}

/// What the bank said.
pub(super) enum Outcome {
    /// The charge that succeeded.
    Paid(Value),
    /// The customer has to authenticate first; there is no charge yet.
    Authenticate,
    /// The charge that failed, and the error.
    Refused(Value, ApiError),
}

/// Charges a payment method (or a legacy card) and records the charge with its event.
pub(super) fn charge(account: &mut Account, method: &Value, ask: &Ask<'_>) -> Outcome {
    let refused = ask.customer.is_some_and(|customer| account.business.refused.contains(customer));
    let behaviour = behaviour_of(method);
    let (code, decline_code) = match behaviour {
        _ if refused => ("card_declined", Some("insufficient_funds")),
        Behaviour::Declines(code, decline_code) => (code, decline_code),
        Behaviour::DeclinesPayments => ("card_declined", Some("generic_decline")),
        Behaviour::Authenticates if ask.off_session => ("authentication_required", Some("authentication_required")),
        Behaviour::Authenticates => return Outcome::Authenticate,
        _ => return Outcome::Paid(succeed(account, method, ask, behaviour)),
    };
    let error = refusal(code, decline_code);
    let charge = fail(account, method, ask, &error);
    Outcome::Refused(charge, error)
}

/// Charges after the customer has authenticated.
pub(super) fn charge_authenticated(account: &mut Account, method: &Value, ask: &Ask<'_>) -> Value {
    succeed(account, method, ask, Behaviour::Pays)
}

fn succeed(account: &mut Account, method: &Value, ask: &Ask<'_>, behaviour: Behaviour) -> Value {
    let mut charge = begun(account, method, ask);
    let id = charge.text("id").to_owned();
    let outcome = json!({
        "advice_code": null, "network_advice_code": null, "network_decline_code": null,
        "network_status": "approved_by_network", "reason": null,
        "risk_level": if behaviour == Behaviour::Reviewed { "elevated" } else { "normal" }, "risk_score": 20,
        "seller_message": "Payment complete.", "type": "authorized",
    });
    super::shapes::set(
        &mut charge,
        json!({ "captured": ask.capture, "outcome": outcome, "paid": true, "status": "succeeded" }),
    );
    if ask.capture {
        let transaction = record(account, &id, ask.amount, ask.currency, ask.description);
        let with = json!({ "amount_captured": ask.amount, "balance_transaction": transaction });
        super::shapes::set(&mut charge, with);
    }
    let charge = add(account, charge, Some("charge.succeeded"));
    match behaviour {
        Behaviour::Disputed if ask.capture => dispute::open(account, &id, "fraudulent"),
        Behaviour::Warned => radar::warn(account, &charge),
        Behaviour::Reviewed => radar::open_review(account, &charge),
        _ => {}
    }
    account.get("charge", &id).unwrap_or(charge)
}

fn fail(account: &mut Account, method: &Value, ask: &Ask<'_>, error: &ApiError) -> Value {
    let mut charge = begun(account, method, ask);
    let decline_code = error.more.get("decline_code").cloned().unwrap_or_default();
    let outcome = json!({
        "advice_code": "try_again_later", "network_advice_code": null, "network_decline_code": null,
        "network_status": "declined_by_network", "reason": decline_code, "risk_level": "normal", "risk_score": 30,
        "seller_message": "The bank did not return any further details with this decline.", "type": "issuer_declined",
    });
    let with = json!({
        "failure_code": error.code, "failure_message": error.message, "outcome": outcome, "paid": false, "status": "failed",
        "receipt_url": null,
    });
    super::shapes::set(&mut charge, with);
    add(account, charge, Some("charge.failed"))
}

fn begun(account: &mut Account, method: &Value, ask: &Ask<'_>) -> super::shapes::Object {
    let now = now_of(account, ask.customer);
    let with = json!({
        "amount": ask.amount, "calculated_statement_descriptor": "SIMULATED", "currency": ask.currency, "customer": ask.customer,
        "description": ask.description, "payment_intent": ask.intent, "payment_method": method.value("id"),
        "payment_method_details": details(method, ask.amount),
    });
    let mut charge = made(account, "charge", now, with);
    if method.is_set("billing_details") {
        charge.insert("billing_details".to_owned(), method.value("billing_details").clone());
    }
    let url = format!("https://pay.stripe.com/receipts/{}", charge.text("id"));
    charge.insert("receipt_url".to_owned(), url.into());
    charge
}

/// `payment_method_details` of a card payment.
fn details(method: &Value, amount: i64) -> Value {
    let card = if method.text("object") == "card" { method } else { method.value("card") };
    json!({
        "card": {
            "amount_authorized": amount, "authorization_code": null, "brand": card.text("brand").to_lowercase(),
            "checks": { "address_line1_check": null, "address_postal_code_check": null, "cvc_check": "pass" },
            "country": card.value("country"), "exp_month": card.value("exp_month"), "exp_year": card.value("exp_year"),
            "extended_authorization": { "status": "disabled" }, "fingerprint": card.value("fingerprint"),
            "funding": card.value("funding"), "incremental_authorization": { "status": "unavailable" }, "installments": null,
            "last4": card.value("last4"), "mandate": null, "multicapture": { "status": "unavailable" },
            "network": card.text("brand").to_lowercase(), "network_token": { "used": false }, "network_transaction_id": null,
            "overcapture": { "maximum_amount_capturable": amount, "status": "unavailable" },
            "regulated_status": "unregulated", "three_d_secure": null, "wallet": null,
        },
        "type": "card",
    })
}

fn record(account: &mut Account, charge: &str, amount: i64, currency: &str, description: Option<&str>) -> String {
    let movement = Movement {
        kind: "charge",
        category: "charge",
        amount,
        currency,
        fee: balance::fee_of_charge(amount, currency),
        source: charge,
        description,
        settles: true,
    };
    balance::record(account, &movement)
}

/// Captures an authorised charge, in whole or in part.
pub(super) fn capture_charge(account: &mut Account, id: &str, amount: i64) -> Value {
    let charge = account.get("charge", id).unwrap_or_default();
    let description = charge.value("description").as_str();
    let transaction = record(account, id, amount, charge.text("currency"), description);
    let with = json!({
        "amount_captured": amount, "amount_refunded": charge.int("amount") - amount, "balance_transaction": transaction,
        "captured": true,
    });
    change(account, "charge", id, Some("charge.captured"), with)
}

/// `POST /v1/charges`: a payment with a legacy source, without a payment intent.
fn create(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let amount = params.integer("amount")?.ok_or_else(|| ApiError::missing_parameter("amount"))?;
    let currency = params.required("currency")?.to_lowercase();
    check_amount(amount, &currency)?;
    let customer = params.text("customer").filter(|customer| !customer.is_empty());
    let method = match (params.text("source"), customer) {
        (Some(token), _) if token.starts_with("tok_") => {
            let method = token.replacen("tok_", "pm_card_", 1);
            super::payment_method::usable(account, &method, "source")?
        }
        (Some(card), _) => super::record::named(account, "card", card, "source")?,
        (None, Some(customer)) => {
            let customer = super::record::named(account, "customer", customer, "customer")?;
            super::payment_method::default_of(account, None, &customer)
                .ok_or_else(|| ApiError::card("missing", None, "Cannot charge a customer that has no active card"))?
        }
        (None, None) => return Err(ApiError::missing_parameter("source")),
    };
    let ask = Ask {
        amount,
        currency: &currency,
        customer,
        intent: None,
        description: params.text("description"),
        capture: params.boolean("capture")?.unwrap_or(true),
        off_session: true,
    };
    match charge(account, &method, &ask) {
        Outcome::Paid(charge) => Ok(charge),
        Outcome::Refused(charge, mut error) => {
            error.more.insert("charge".to_owned(), charge.value("id").clone());
            Err(error)
        }
        Outcome::Authenticate => Err(refusal("authentication_required", None)),
    }
}

/// Amounts are positive, at most eight digits long, and whole steps of their currency.
pub(super) fn check_amount(amount: i64, currency: &str) -> Result<(), ApiError> {
    const AMOUNT_MAX: i64 = 99_999_999;
    let refuse = |code: &str, message: &str| Err(ApiError::parameter(code, "amount", message));
    match amount {
        ..=0 => refuse("parameter_invalid_integer", "This value must be greater than or equal to 1."),
        _ if amount > AMOUNT_MAX => refuse("amount_too_large", "Amount must be no more than 999,999.99"),
        _ if amount % money::step(currency) != 0 => refuse(
            "invalid_charge_amount_no_decimal_compatible",
            "The amount has more decimals than the currency allows.",
        ),
        _ => Ok(()),
    }
}

fn update(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let table = &[
        ("description", Take::Text),
        ("fraud_details", Take::Merge),
        ("metadata", Take::Metadata),
        ("receipt_email", Take::Text),
        ("shipping", Take::Json),
    ];
    super::plain::update(account, params, "charge", Some("charge.updated"), table)
}

fn capture(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let charge = account.require("charge", params.path("id"), "id")?;
    if charge.flag("captured") || charge.text("status") != "succeeded" {
        let message = format!("Charge {} has already been captured.", charge.text("id"));
        return Err(ApiError { code: Some("charge_already_captured".to_owned()), ..ApiError::invalid(message) });
    }
    let amount = params.integer("amount")?.unwrap_or_else(|| charge.int("amount"));
    Ok(capture_charge(account, charge.text("id"), amount))
}
