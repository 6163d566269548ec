//! Who pays for a subscription, and whether that works.

use billhook_flow::{Result, Tx};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::tables::Tables;

/// Everything is paid.
const ACTIVE: &str = "active";
/// A payment failed and is still open.
const PAYMENT_FAILED: &str = "payment_failed";

/// An organisation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Organisation {
    pub(crate) id: String,
    pub(crate) name: String,
    status: String,
}

impl Organisation {
    /// Whether a payment of it failed and is still open.
    pub(crate) fn has_failed(&self) -> bool {
        self.status == PAYMENT_FAILED
    }
}

/// The organisation of a subscription, else of a customer; of several the oldest.
pub(crate) async fn find(
    tx: &Tx,
    tables: &Tables,
    subscription: Option<&str>,
    customer: Option<&str>,
) -> Result<Option<Organisation>> {
    for (column, value) in [("stripe_subscription_id", subscription), ("stripe_customer_id", customer)] {
        if let Some(value) = value
            && let Some(found) = by(tx, tables, column, value).await?
        {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// The organisation of this id.
pub(crate) async fn by_id(tx: &Tx, tables: &Tables, id: &str) -> Result<Option<Organisation>> {
    by(tx, tables, "id", id).await
}

async fn by(tx: &Tx, tables: &Tables, column: &'static str, value: &str) -> Result<Option<Organisation>> {
    let table = &tables.organisations;
    let sql = format!("SELECT id, name, status FROM {table} WHERE {column} = $1 ORDER BY created_at, id LIMIT 1");
    let rows = tx.query(&sql, &[value.into()]).await?;
    let read = rows
        .first()
        .map(|row| Ok(Organisation { id: row.get("id")?, name: row.get("name")?, status: row.get("status")? }));
    read.transpose()
}

/// Notes that a payment failed; false when the organisation is neither active nor has failed before, such as one that has left.
pub(crate) async fn mark_failed(tx: &Tx, tables: &Tables, id: &str, at: Timestamp) -> Result<bool> {
    let sql = format!(
        "UPDATE {} SET status = '{PAYMENT_FAILED}', last_failed_at = $2 \
         WHERE id = $1 AND status IN ('{ACTIVE}', '{PAYMENT_FAILED}')",
        tables.organisations
    );
    Ok(tx.execute(&sql, &[id.into(), at.into()]).await? == 1)
}

/// Notes that everything is paid; false when no payment had failed.
pub(crate) async fn mark_active(tx: &Tx, tables: &Tables, id: &str) -> Result<bool> {
    let sql = format!(
        "UPDATE {} SET status = '{ACTIVE}' WHERE id = $1 AND status = '{PAYMENT_FAILED}'",
        tables.organisations
    );
    Ok(tx.execute(&sql, &[id.into()]).await? == 1)
}
