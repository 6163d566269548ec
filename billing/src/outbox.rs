//! Mails to be sent. A row is written in the transaction that records its step, under the step's idempotency key.

use billhook_flow::{Result, Tx};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::tables::Tables;

/// What became of a mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Written {
    /// It is in the outbox, under this id.
    Written(String),
    /// It was not written, for this reason.
    Skipped(String),
}

/// A mail.
pub(crate) struct Mail<'a> {
    /// The idempotency key of its step.
    pub(crate) id: String,
    pub(crate) recipient: &'a str,
    pub(crate) template: &'a str,
    pub(crate) data: Value,
    pub(crate) at: Timestamp,
}

/// Puts a mail into the outbox; one that is there already stays as it is.
pub(crate) async fn put(tx: &Tx, tables: &Tables, mail: Mail<'_>) -> Result<Written> {
    let sql = format!(
        "INSERT INTO {} (id, recipient, template, data, created_at) VALUES ($1, $2, $3, $4, $5) ON CONFLICT (id) DO NOTHING",
        tables.outbox
    );
    let Mail { id, recipient, template, data, at } = mail;
    tx.execute(&sql, &[(&id).into(), recipient.into(), template.into(), data.into(), at.into()]).await?;
    Ok(Written::Written(id))
}
