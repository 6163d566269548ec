//! The names under which kinds are asked for, on the command line and over HTTP.

use std::collections::BTreeSet;

use billhook_stripe::catalogue;

use super::rules::{COMES_WITH, CONTRACT};
use super::streams;

/// A kind to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Target {
    /// Stripe's kind.
    pub object: &'static str,
    /// Whether somebody asked for this very kind: then lists below many parents are read as well.
    pub named: bool,
}

/// Why a name cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing has this name.
    #[error("{name:?} is no kind of object that Billhook knows{}", suggestion(.nearest))]
    Unknown {
        /// What was asked for, cut.
        name: String,
        /// The most similar name, when one is similar.
        nearest: Option<String>,
    },
    /// Stripe cannot list it.
    #[error("Stripe cannot list objects of kind {object}; their rows come from events, or one by one by their ids")]
    NotListed {
        /// The kind.
        object: &'static str,
    },
}

fn suggestion(nearest: &Option<String>) -> String {
    nearest.as_ref().map(|nearest| format!("; did you mean {nearest:?}?")).unwrap_or_default()
}

/// The kinds of `all` over HTTP, in the contract's order.
pub fn contract_all() -> Vec<Target> {
    CONTRACT.iter().map(|(object, _, _)| Target { object, named: false }).collect()
}

/// Every kind that can be read without one request a customer: the contract's first, then the other lists, then what is read
/// below other rows.
pub fn everything() -> Vec<Target> {
    let mut targets = contract_all();
    let others: Vec<&'static str> = catalogue::kinds()
        .iter()
        .map(|kind| kind.object)
        .filter(|object| CONTRACT.iter().all(|(known, _, _)| known != object))
        .filter(|object| !streams::of(object, false).is_empty())
        .collect();
    let (below, plain): (Vec<_>, Vec<_>) =
        others.into_iter().partition(|object| streams::of(object, false).iter().all(|stream| stream.is_fan_out()));
    targets.extend(plain.into_iter().chain(below).map(|object| Target { object, named: false }));
    targets
}

/// The kinds that a name stands for: one of Stripe's kinds, a table, or a name of the HTTP contract (`all` included). Empty for
/// `customer_with_entitlements`, which the contract accepts and which names nothing to read.
///
/// # Errors
/// When nothing has this name, or when Stripe cannot list it.
pub fn resolve(name: &str) -> Result<Vec<Target>, NameError> {
    match name {
        "all" => return Ok(contract_all()),
        "customer_with_entitlements" => return Ok(Vec::new()),
        _ => {}
    }
    let object = object_named(name).ok_or_else(|| unknown(name))?;
    let parents = COMES_WITH.iter().find(|(kind, _)| *kind == object).map(|(_, parents)| *parents);
    let objects = parents.unwrap_or(std::slice::from_ref(&object));
    if objects.iter().all(|object| streams::of(object, true).is_empty()) {
        return Err(NameError::NotListed { object });
    }
    Ok(objects.iter().map(|&object| Target { object, named: true }).collect())
}

pub(super) fn unknown(name: &str) -> NameError {
    NameError::Unknown { name: cut(name), nearest: nearest(name) }
}

/// The kind that a name stands for.
pub fn object_named(name: &str) -> Option<&'static str> {
    let contract = CONTRACT.iter().find(|(_, contract, _)| *contract == name).map(|(object, _, _)| *object);
    let kind = || catalogue::kind_of(name).map(|kind| kind.object);
    let table = || catalogue::table_named(name).map(|table| table.object.as_str()).filter(|object| !object.is_empty());
    contract.or_else(kind).or_else(table)
}

/// The key of a kind in the answers of the HTTP contract: the contract's own, else the table's name in camel case.
pub fn response_key(object: &str) -> String {
    if let Some((_, _, key)) = CONTRACT.iter().find(|(known, _, _)| *known == object) {
        return (*key).to_owned();
    }
    let table = catalogue::table_of(object).map_or(object, |table| table.name.as_str());
    let mut key = String::with_capacity(table.len());
    let mut upper = false;
    for letter in table.chars() {
        match letter {
            '_' | '.' => upper = true,
            letter if std::mem::take(&mut upper) => key.extend(letter.to_uppercase()),
            letter => key.push(letter),
        }
    }
    key
}

/// Characters of a name from outside that are compared and shown.
const NAME_CHARACTERS_MAX: usize = 60;

fn cut(name: &str) -> String {
    name.chars().take(NAME_CHARACTERS_MAX).collect()
}

/// The most similar name, when at most a third of it differs.
fn nearest(name: &str) -> Option<String> {
    let name = cut(name);
    let contract = CONTRACT.iter().map(|(_, name, _)| *name);
    let kinds = catalogue::kinds().iter().filter(|kind| !streams::of(kind.object, true).is_empty());
    let names: BTreeSet<&str> = contract.chain(kinds.map(|kind| kind.object)).collect();
    let (distance, nearest) = names
        .into_iter()
        .map(|candidate| (distance(&name, candidate), candidate))
        .min_by_key(|(distance, _)| *distance)?;
    (distance * 3 <= name.chars().count().max(3)).then(|| nearest.to_owned())
}

/// Characters to insert, remove or replace to make one text of the other.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (above, letter) in one.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], above + 1);
        for (at, candidate) in other.iter().enumerate() {
            let replaced = diagonal + usize::from(letter != *candidate);
            diagonal = row[at + 1];
            row[at + 1] = replaced.min(row[at] + 1).min(diagonal + 1);
        }
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn objects(name: &str) -> Vec<&'static str> {
        resolve(name).unwrap().iter().map(|target| target.object).collect()
    }

    #[test]
    fn kinds_tables_and_the_contracts_names_are_understood() {
        assert_eq!(objects("checkout.session"), ["checkout.session"]);
        assert_eq!(objects("checkout_sessions"), ["checkout.session"]);
        assert_eq!(objects("subscription_schedules"), ["subscription_schedule"]);
        assert_eq!(objects("early_fraud_warning"), ["radar.early_fraud_warning"]);
        assert_eq!(objects("invoices"), ["invoice"]);
        assert_eq!(objects("invoice_line_items"), ["invoice"]);
        assert_eq!(objects("customer_with_entitlements"), [""; 0]);
        assert_eq!(objects("all").len(), 17);
    }

    #[test]
    fn what_cannot_be_read_says_so() {
        assert_eq!(
            resolve("custmer").unwrap_err().to_string(),
            "\"custmer\" is no kind of object that Billhook knows; did you mean \"customer\"?"
        );
        assert!(resolve("zzzzzzzzzzzz").unwrap_err().to_string().ends_with("knows"));
        assert_eq!(resolve("mandate"), Err(NameError::NotListed { object: "mandate" }));
        assert!(resolve(&"x".repeat(100_000)).unwrap_err().to_string().len() < 200);
    }

    #[test]
    fn answers_have_the_contracts_keys() {
        assert_eq!(response_key("radar.early_fraud_warning"), "earlyFraudWarnings");
        assert_eq!(response_key("checkout.session"), "checkoutSessions");
        assert_eq!(response_key("billing.credit_grant"), "billingCreditGrants");
    }

    #[test]
    fn everything_is_each_listed_kind_once() {
        let objects: Vec<&str> = everything().iter().map(|target| target.object).collect();
        assert_eq!(objects.iter().collect::<BTreeSet<_>>().len(), objects.len());
        assert_eq!(objects[..2], ["product", "price"]);
        let at = |object| objects.iter().position(|known| *known == object);
        assert!(at("account") < at("person"), "parents come before their children");
        assert_eq!(at("customer_balance_transaction"), None, "one request a customer");
        assert!(objects.len() > 80, "{}", objects.len());
    }
}
