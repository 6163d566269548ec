//! `record-charge`: a charge that succeeded becomes one row beside its user.

use billhook_flow::{Ctx, Event, Function, Result, Terminal, Tx, function, minutes, seconds};
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use crate::Billing;
use crate::reference::{Reference, present};

pub(crate) const ID: &str = "record-charge";

/// The first pause before a user is looked for again, and the longest, in seconds. Each is twice as long as the one before.
const PAUSE_SECONDS: (i64, i64) = (15, 120);

/// What happens to a charge whose user is not found: the webhook races with the sign-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnMissing {
    /// The run ends at once.
    End,
    /// The user is looked for again during ten minutes; then the run ends in the same way.
    RetryTenMinutes,
}

impl OnMissing {
    /// The words of the setting.
    pub const NAMES: &[&str] = &["end", "retry 10m"];

    /// What this word of the setting means.
    pub fn of_name(name: &str) -> Option<Self> {
        match name {
            "end" => Some(Self::End),
            "retry 10m" => Some(Self::RetryTenMinutes),
            _ => None,
        }
    }

    /// The pauses before each further look.
    fn pauses(self) -> impl Iterator<Item = SignedDuration> {
        let mut rest = match self {
            Self::End => SignedDuration::ZERO,
            Self::RetryTenMinutes => minutes(10),
        };
        let (first, longest) = (seconds(PAUSE_SECONDS.0), seconds(PAUSE_SECONDS.1));
        let next = move |pause: &SignedDuration| Some((*pause * 2).min(longest));
        std::iter::successors(Some(first), next).map_while(move |pause| {
            let pause = pause.min(rest);
            rest -= pause;
            pause.is_positive().then_some(pause)
        })
    }
}

/// The parts of a charge that are recorded.
#[derive(Debug, Deserialize)]
struct Charge {
    id: String,
    amount: i64,
    currency: String,
    created: i64,
    customer: Option<Reference>,
    receipt_email: Option<String>,
    billing_details: Option<BillingDetails>,
}

#[derive(Debug, Deserialize)]
struct BillingDetails {
    email: Option<String>,
}

/// How a run ends, with the meaning that HTTP gives to its status.
#[derive(Debug, Serialize, Deserialize)]
struct Outcome {
    status: u16,
    charge: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// The function.
pub(crate) fn declared() -> Function<Billing> {
    function(ID, record_charge).on("stripe/charge.succeeded").idempotency("event.data.id")
}

async fn record_charge(event: Event<Charge>, ctx: Ctx<Billing>) -> Result<Outcome> {
    let (billing, charge, event_id) = (ctx.app(), &event.data, event.id.as_str());
    let mut pauses = billing.on_missing.pauses();
    loop {
        let outcome = ctx.tx_step("record", |tx| charge.record(tx, billing, event_id)).await?;
        if outcome.user.is_some() {
            return Ok(outcome);
        }
        let Some(pause) = pauses.next() else { return Ok(outcome) };
        ctx.sleep("until the user may be there", pause).await;
    }
}

impl Charge {
    /// The customer's address. What the payer typed counts only where there is no customer: anybody can type anything.
    fn email(&self) -> Option<&str> {
        match &self.customer {
            Some(customer) => customer.email(),
            None => {
                let typed = self.billing_details.as_ref().and_then(|details| details.email.as_deref());
                present(self.receipt_email.as_deref()).or_else(|| present(typed))
            }
        }
    }

    /// Finds the user and writes the row, or says that there is none.
    async fn record(&self, tx: Tx, billing: &Billing, event_id: &str) -> Result<Outcome> {
        let (customer, email) = (self.customer.as_ref().map(Reference::id), self.email());
        let charge = self.id.clone();
        let Some(user) = billing.users.find(&tx, customer, email).await? else {
            let reason = match (customer, email) {
                (Some(customer), _) => format!("no user belongs to the customer {customer}"),
                (None, Some(_)) => "no user has the address of the charge".to_owned(),
                (None, None) => "the charge names neither a customer nor an address".to_owned(),
            };
            return Ok(Outcome { status: 404, charge, user: None, reason: Some(reason) });
        };
        let charged_at = Timestamp::from_second(self.created)
            .map_err(|_| Terminal::new(format!("{charge} was made at {}, which is no time", self.created)))?;
        let sql = format!(
            "INSERT INTO {} (id, user_id, stripe_customer_id, amount, currency, charged_at, event_id) \
             VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT (id) DO NOTHING",
            billing.tables.charges
        );
        let (amount, currency) = (self.amount, &self.currency);
        let row = [
            (&charge).into(),
            (&user).into(),
            customer.into(),
            amount.into(),
            currency.into(),
            charged_at.into(),
            event_id.into(),
        ];
        tx.execute(&sql, &row).await?;
        Ok(Outcome { status: 200, charge, user: Some(user), reason: None })
    }
}

#[cfg(test)]
#[path = "record_charge_tests.rs"]
mod tests;
