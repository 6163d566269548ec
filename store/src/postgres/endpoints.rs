//! Webhook endpoints that Billhook made at Stripe.

use billhook_core::Secret;
use tokio_postgres::Row;

use super::session::Patience;
use super::{Parameters, PostgresStore, column, statements};
use crate::{StoreError, WebhookEndpoint};

impl PostgresStore {
    /// See [`crate::Store::save_endpoint`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn save_endpoint(&self, endpoint: &WebhookEndpoint) -> Result<(), StoreError> {
        let secret = endpoint.secret.expose();
        let parameters: Parameters<'_> =
            &[&endpoint.id, &endpoint.url, &endpoint.api_version, &secret, &endpoint.created_at, &endpoint.retire_at];
        self.execute(Patience::Answer, "keeping a webhook endpoint", statements::ENDPOINT_SAVE, parameters).await?;
        Ok(())
    }

    /// See [`crate::Store::list_endpoints`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn list_endpoints(&self) -> Result<Vec<WebhookEndpoint>, StoreError> {
        let rows = self.query(Patience::Answer, "reading webhook endpoints", statements::ENDPOINTS_LIST, &[]).await?;
        rows.iter().map(endpoint).collect()
    }

    /// See [`crate::Store::remove_endpoint`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn remove_endpoint(&self, id: &str) -> Result<bool, StoreError> {
        let operation = "forgetting a webhook endpoint";
        let removed = self.execute(Patience::Answer, operation, statements::ENDPOINT_REMOVE, &[&id]).await?;
        Ok(removed == 1)
    }
}

fn endpoint(row: &Row) -> Result<WebhookEndpoint, StoreError> {
    Ok(WebhookEndpoint {
        id: column(row, 0)?,
        url: column(row, 1)?,
        api_version: column(row, 2)?,
        secret: Secret::new(column::<String>(row, 3)?),
        created_at: column(row, 4)?,
        retire_at: column(row, 5)?,
    })
}
