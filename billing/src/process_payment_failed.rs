//! `process-payment-failed`: a payment that failed is noticed at once, and reminded of after three days if it is still open then.
//!
//! There is one chain for an invoice, however often Stripe tries to collect it. What ends the debt calls it off; deliveries come late and
//! in any order, so every step asks the mirror as well.

use billhook_flow::{Ctx, Event, Function, Result, StepKey, Tx, days, function};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::Billing;
use crate::contact::contact;
use crate::invoice::Invoice;
use crate::organisations::{self, Organisation};
use crate::outbox::{self, Mail, Written};

pub(crate) const ID: &str = "process-payment-failed";

/// The steps that write a mail, and the templates of the mails.
const NOTICE: &str = "notice";
const REMINDER: &str = "reminder";

/// How long nobody is reminded, in days.
const REMINDER_AFTER_DAYS: i64 = 3;

/// The same invoice.
const SAME_INVOICE: &str = "async.data.id == event.data.id";

/// The invoice's subscription. Basil (2025-03-31) moved its id into `parent`.
const ITS_SUBSCRIPTION: &str =
    "async.data.id == (event.data.parent.subscription_details.subscription || event.data.subscription)";

/// How a run ends.
#[derive(Debug, Serialize, Deserialize)]
struct Outcome {
    status: u16,
    invoice: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    organisation: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    notice: Option<Written>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reminder: Option<Written>,
}

/// What the first step found.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Marked {
    Failed(Organisation),
    /// No organisation belongs to the invoice.
    Missing,
    /// There is nothing to tell, for this reason.
    Over(String),
}

/// The function.
pub(crate) fn declared() -> Function<Billing> {
    function(ID, process_payment_failed)
        .on("stripe/invoice.payment_failed")
        .idempotency("event.data.id")
        .cancel_on("stripe/invoice.paid", SAME_INVOICE)
        .cancel_on("stripe/invoice.voided", SAME_INVOICE)
        .cancel_on("stripe/invoice.marked_uncollectible", SAME_INVOICE)
        .cancel_on("stripe/customer.subscription.deleted", ITS_SUBSCRIPTION)
}

async fn process_payment_failed(event: Event<Invoice>, ctx: Ctx<Billing>) -> Result<Outcome> {
    let (billing, invoice, failed_at) = (ctx.app(), &event.data, event.ts);
    let end = |status, reason: String| {
        let (invoice, reason) = (invoice.id.clone(), Some(reason));
        Outcome { status, invoice, organisation: None, reason, notice: None, reminder: None }
    };
    let marked = ctx.tx_step("mark", |tx| mark(tx, billing, invoice, failed_at)).await?;
    let organisation = match marked {
        Marked::Failed(organisation) => organisation,
        Marked::Missing => return Ok(end(404, "no organisation belongs to the invoice".to_owned())),
        Marked::Over(reason) => return Ok(end(200, reason)),
    };
    let letter = |id, template| Letter { run: ctx.run(), id, template, billing, invoice, organisation: &organisation };
    let (first, second) = (letter(NOTICE, "payment_failed"), letter(REMINDER, "payment_reminder"));
    let now = ctx.now();
    let notice = ctx.tx_step(NOTICE, |tx| first.write(tx, now)).await?;
    ctx.sleep("three days", days(REMINDER_AFTER_DAYS)).await;
    let reminder = ctx.tx_step(REMINDER, |tx| second.write_if_open(tx, now)).await?;
    Ok(Outcome {
        status: 200,
        invoice: invoice.id.clone(),
        organisation: Some(organisation.id.clone()),
        reason: None,
        notice: Some(notice),
        reminder: Some(reminder),
    })
}

/// Notes at the organisation that its payment failed, unless nobody needs to pay any more.
async fn mark(tx: Tx, billing: &Billing, invoice: &Invoice, failed_at: Timestamp) -> Result<Marked> {
    let tables = &billing.tables;
    if let Some(reason) = invoice.settled(&tx, tables).await? {
        return Ok(Marked::Over(reason));
    }
    let found = organisations::find(&tx, tables, invoice.subscription(), invoice.customer()).await?;
    let Some(organisation) = found else { return Ok(Marked::Missing) };
    if organisations::mark_failed(&tx, tables, &organisation.id, failed_at).await? {
        Ok(Marked::Failed(organisation))
    } else {
        Ok(Marked::Over(format!("the organisation {} is not active", organisation.id)))
    }
}

/// A mail that a step writes.
struct Letter<'a> {
    run: &'a str,
    /// The step.
    id: &'static str,
    template: &'static str,
    billing: &'a Billing,
    invoice: &'a Invoice,
    organisation: &'a Organisation,
}

impl Letter<'_> {
    async fn write(&self, tx: Tx, at: Timestamp) -> Result<Written> {
        let tables = &self.billing.tables;
        let recipient = match contact(&tx, tables, self.invoice).await? {
            Ok(recipient) => recipient,
            Err(reason) => return Ok(Written::Skipped(reason)),
        };
        let id = StepKey::new(self.id, 1).idempotency_key(self.run);
        let data = self.invoice.told(&self.organisation.name);
        let mail = Mail { id, recipient: &recipient, template: self.template, data, at };
        outbox::put(&tx, tables, mail).await
    }

    async fn write_if_open(&self, tx: Tx, at: Timestamp) -> Result<Written> {
        let tables = &self.billing.tables;
        if let Some(reason) = self.invoice.settled(&tx, tables).await? {
            return Ok(Written::Skipped(reason));
        }
        match organisations::by_id(&tx, tables, &self.organisation.id).await? {
            Some(now) if now.has_failed() => self.write(tx, at).await,
            Some(_) => Ok(Written::Skipped("the organisation has no failed payment any more".to_owned())),
            None => Ok(Written::Skipped("the organisation is gone".to_owned())),
        }
    }
}

#[cfg(test)]
#[path = "process_payment_failed_tests.rs"]
mod tests;
