//! Whom a mail about an invoice goes to.

use billhook_flow::{Result, Tx};

use crate::invoice::Invoice;
use crate::reference::present;
use crate::tables::Tables;

/// The customer's address as the mirror has it now, else as the event told it; `Err` holds why there is none.
pub(crate) async fn contact(tx: &Tx, tables: &Tables, invoice: &Invoice) -> Result<Result<String, String>> {
    if let Some(customer) = invoice.customer() {
        let sql = format!(
            "SELECT email, coalesce(deleted, false) AS deleted FROM {} WHERE id = $1",
            tables.mirrored_customers
        );
        if let Some(row) = tx.query(&sql, &[customer.into()]).await?.first() {
            if row.get::<bool>("deleted")? {
                return Ok(Err(format!("the customer {customer} was deleted")));
            }
            let email: Option<String> = row.get("email")?;
            if let Some(email) = present(email.as_deref()) {
                return Ok(Ok(email.to_owned()));
            }
        }
    }
    Ok(invoice.email().map(str::to_owned).ok_or_else(|| match invoice.customer() {
        Some(customer) => format!("the customer {customer} has no e-mail address"),
        None => "the invoice names no customer".to_owned(),
    }))
}
