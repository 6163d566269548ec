//! Invoices: as an event tells of them, and as the mirror has them now.

use billhook_flow::{Result, Tx};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::reference::{Reference, present};
use crate::tables::Tables;

/// The parts of an invoice that matter here.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Invoice {
    pub(crate) id: String,
    status: Option<String>,
    number: Option<String>,
    amount_due: i64,
    currency: String,
    due_date: Option<i64>,
    hosted_invoice_url: Option<String>,
    customer: Option<Reference>,
    customer_email: Option<String>,
    subscription: Option<Reference>,
    parent: Option<Parent>,
}

/// What an invoice belongs to, since basil (2025-03-31).
#[derive(Debug, Clone, Deserialize)]
struct Parent {
    subscription_details: Option<SubscriptionDetails>,
}

#[derive(Debug, Clone, Deserialize)]
struct SubscriptionDetails {
    subscription: Option<Reference>,
}

impl Invoice {
    pub(crate) fn customer(&self) -> Option<&str> {
        self.customer.as_ref().map(Reference::id)
    }

    pub(crate) fn subscription(&self) -> Option<&str> {
        let details = self.parent.as_ref().and_then(|parent| parent.subscription_details.as_ref());
        let parents = details.and_then(|details| details.subscription.as_ref());
        self.subscription.as_ref().or(parents).map(Reference::id)
    }

    /// The address that the event tells.
    pub(crate) fn email(&self) -> Option<&str> {
        let of_customer = self.customer.as_ref().and_then(Reference::email);
        of_customer.or_else(|| present(self.customer_email.as_deref()))
    }

    /// What a mail about it needs. The amount is in the smallest unit of the currency. Invoices that Stripe charges by itself have no
    /// due date.
    pub(crate) fn told(&self, organisation: &str) -> Value {
        let due_date = self.due_date.and_then(|due| Timestamp::from_second(due).ok());
        json!({
            "organisation": organisation,
            "invoice": self.id,
            "number": self.number,
            "amount_due": self.amount_due,
            "currency": self.currency,
            "due_date": due_date.map(|due| due.to_string()),
            "payment_url": self.hosted_invoice_url,
        })
    }

    /// Why nobody needs to pay it any more, by the mirror; by the event where the mirror lacks it.
    pub(crate) async fn settled(&self, tx: &Tx, tables: &Tables) -> Result<Option<String>> {
        let status = status_of(tx, &tables.mirrored_invoices.to_string(), &self.id).await?;
        let status = status.or_else(|| self.status.clone());
        if let Some(status) = status.filter(|status| matches!(status.as_str(), "paid" | "void" | "uncollectible")) {
            return Ok(Some(format!("the invoice is {status}")));
        }
        let Some(subscription) = self.subscription() else { return Ok(None) };
        let status = status_of(tx, &tables.mirrored_subscriptions.to_string(), subscription).await?;
        let is_over = |status: &String| matches!(status.as_str(), "canceled" | "incomplete_expired");
        Ok(status.filter(is_over).map(|status| format!("the subscription is {status}")))
    }

    /// How many other invoices of the same subscription, or without one of the same customer, were attempted and are open.
    pub(crate) async fn others_open(&self, tx: &Tx, tables: &Tables) -> Result<i64> {
        let (column, value) = match (self.subscription(), self.customer()) {
            (Some(subscription), _) => ("subscription", subscription),
            (None, Some(customer)) => ("customer", customer),
            (None, None) => return Ok(0),
        };
        let sql = format!(
            "SELECT count(*) AS count FROM {} WHERE {column} = $1 AND id <> $2 AND status = 'open' AND attempt_count > 0",
            tables.mirrored_invoices
        );
        let rows = tx.query(&sql, &[value.into(), (&self.id).into()]).await?;
        rows.first().map_or(Ok(0), |row| Ok(row.get("count")?))
    }
}

/// The status of a mirrored object; nothing when the mirror lacks it.
async fn status_of(tx: &Tx, table: &str, id: &str) -> Result<Option<String>> {
    let rows = tx.query(&format!("SELECT status FROM {table} WHERE id = $1"), &[id.into()]).await?;
    rows.first().map_or(Ok(None), |row| Ok(row.get("status")?))
}
