//! `payment-recovered`: an organisation whose payment had failed is active again when nothing is open any more.

use billhook_flow::{Ctx, Event, Function, Result, Tx, function};
use serde::{Deserialize, Serialize};

use crate::Billing;
use crate::invoice::Invoice;
use crate::organisations;

const ID: &str = "payment-recovered";

/// How a run ends.
#[derive(Debug, Serialize, Deserialize)]
struct Outcome {
    recovered: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    organisation: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// The function. `invoice.paid` also comes for what was paid outside of Stripe, which `invoice.payment_succeeded` does not.
pub(crate) fn declared() -> Function<Billing> {
    function(ID, payment_recovered).on("stripe/invoice.paid").on("stripe/invoice.voided")
}

async fn payment_recovered(event: Event<Invoice>, ctx: Ctx<Billing>) -> Result<Outcome> {
    let (billing, invoice) = (ctx.app(), &event.data);
    ctx.tx_step("recover", |tx| recover(tx, billing, invoice)).await
}

async fn recover(tx: Tx, billing: &Billing, invoice: &Invoice) -> Result<Outcome> {
    let tables = &billing.tables;
    let as_it_was =
        |organisation, reason: &str| Ok(Outcome { recovered: false, organisation, reason: Some(reason.to_owned()) });
    let found = organisations::find(&tx, tables, invoice.subscription(), invoice.customer()).await?;
    let Some(organisation) = found else { return as_it_was(None, "no organisation belongs to the invoice") };
    if !organisation.has_failed() {
        return as_it_was(Some(organisation.id), "no payment had failed");
    }
    if invoice.others_open(&tx, tables).await? > 0 {
        return as_it_was(Some(organisation.id), "another invoice is still open");
    }
    let recovered = organisations::mark_active(&tx, tables, &organisation.id).await?;
    Ok(Outcome { recovered, organisation: Some(organisation.id), reason: None })
}
