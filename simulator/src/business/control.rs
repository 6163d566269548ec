//! What tests in other languages can ask for: things that no request to Stripe does.

use serde_json::{Value, json};

use super::{checkout, dispute};
use crate::account::Account;
use crate::error::ApiError;
use crate::params::Params;
use crate::story::{Story, storm};

/// Days of the story that one request may ask for.
const DAYS_MAX: i64 = 3_660;
/// Changes of a storm that one request may ask for.
const CHANGES_MAX: i64 = 1_000_000;

/// What `POST /_simulator/<name>` does, for names that the simulator itself does not know. `None` for unknown ones.
///
/// - `story` (`days`, `seed`): the story goes on for so many days; answers its lines.
/// - `storm` (`changes`, `seed`): many changes at once.
/// - `checkout` (`session`, `payment_method`, `name`, `email`): a customer completes a Checkout session.
/// - `dispute` (`charge`, `reason`): a customer disputes a charge. `decide` (`dispute`, `won`): the bank decides.
pub fn control(account: &mut Account, name: &str, params: &Params) -> Option<Result<Value, ApiError>> {
    match name {
        "story" => Some(tell(account, params)),
        "storm" => Some(blow(account, params)),
        "checkout" => Some(complete(account, params)),
        "dispute" => Some(open(account, params)),
        "decide" => Some(decide(account, params)),
        _ => None,
    }
}

fn within(params: &Params, name: &str, default: i64, most: i64) -> Result<i64, ApiError> {
    let number = params.integer(name)?.unwrap_or(default);
    if (0..=most).contains(&number) {
        return Ok(number);
    }
    Err(ApiError::parameter("parameter_invalid_integer", name, format!("{name} has to be between 0 and {most}.")))
}

fn seed(params: &Params) -> Result<u64, ApiError> {
    Ok(params.integer("seed")?.unwrap_or(1).unsigned_abs())
}

fn tell(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let days = within(params, "days", 1, DAYS_MAX)?;
    let seed = seed(params)?;
    let mut story = account.business.story.take().unwrap_or_else(|| Story::new(seed));
    let lines = story.run(account, u32::try_from(days).unwrap_or(0));
    account.business.story = Some(story);
    let lines: Vec<Value> = lines.iter().map(|line| json!({ "at": line.at, "text": line.text })).collect();
    Ok(json!({ "lines": lines }))
}

fn blow(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let changes = within(params, "changes", 100, CHANGES_MAX)?;
    storm(account, usize::try_from(changes).unwrap_or(0), seed(params)?);
    Ok(json!({ "events": account.events().count() }))
}

fn complete(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let session = params.required("session")?;
    let card = params.text("payment_method").unwrap_or("pm_card_visa");
    let name = params.text("name").unwrap_or("Ada Brandt");
    checkout::complete(account, session, name, params.text("email").unwrap_or("ada.brandt@example.com"), card)
}

fn open(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let charge = params.required("charge")?;
    account.require("charge", charge, "charge")?;
    dispute::open(account, charge, params.text("reason").unwrap_or("fraudulent"));
    let dispute = account.business.dispute_of_charge.get(charge).cloned();
    dispute
        .and_then(|dispute| account.get("dispute", &dispute))
        .ok_or_else(|| ApiError::invalid("This charge cannot be disputed."))
}

fn decide(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let dispute = params.required("dispute")?;
    account.require("dispute", dispute, "dispute")?;
    dispute::decide(account, dispute, params.boolean("won")? == Some(true));
    account.require("dispute", dispute, "dispute")
}
