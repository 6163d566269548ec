//! Webhook endpoints that Billhook made at Stripe.

use billhook_core::Secret;
use rusqlite::{Connection, Row, params};

use super::times;
use crate::WebhookEndpoint;

/// Writes an endpoint.
pub(super) fn save(connection: &Connection, endpoint: &WebhookEndpoint) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO billhook_webhook_endpoints (id, url, api_version, secret, created_at, retire_at) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (id) DO UPDATE SET url = excluded.url, \
             api_version = excluded.api_version, secret = excluded.secret, created_at = excluded.created_at, \
             retire_at = excluded.retire_at",
        )?
        .execute(params![
            endpoint.id,
            endpoint.url,
            endpoint.api_version,
            endpoint.secret.expose(),
            times::precise(endpoint.created_at),
            endpoint.retire_at.map(times::precise),
        ])
        .map(|_changes| ())
}

/// All endpoints, oldest first.
pub(super) fn list(connection: &Connection) -> rusqlite::Result<Vec<WebhookEndpoint>> {
    let mut statement = connection.prepare_cached(
        "SELECT id, url, api_version, secret, created_at, retire_at FROM billhook_webhook_endpoints ORDER BY created_at, id",
    )?;
    statement.query_map([], endpoint)?.collect()
}

fn endpoint(row: &Row<'_>) -> rusqlite::Result<WebhookEndpoint> {
    Ok(WebhookEndpoint {
        id: row.get(0)?,
        url: row.get(1)?,
        api_version: row.get(2)?,
        secret: Secret::new(row.get::<_, String>(3)?),
        created_at: times::read(row, 4)?,
        retire_at: times::read_optional(row, 5)?,
    })
}

/// Forgets an endpoint; returns whether it was there.
pub(super) fn remove(connection: &Connection, id: &str) -> rusqlite::Result<bool> {
    let removed = connection.prepare_cached("DELETE FROM billhook_webhook_endpoints WHERE id = ?1")?.execute([id])?;
    Ok(removed == 1)
}
