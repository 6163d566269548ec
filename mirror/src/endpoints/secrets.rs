//! The secrets by which deliveries are verified: those of the configuration, and those of the endpoints in the database.

use std::time::Duration;

use billhook_core::Secret;
use billhook_store::{Store, StoreError};

use crate::ingest::Ingest;

/// How often the database's secrets are read, in milliseconds: other nodes and commands change them. What is signed with a newer
/// one meanwhile is refused and comes again.
const READ_EVERY_MS: u64 = 3_000;

/// The configured secrets, then those of the managed endpoints, oldest first. Endpoints whose secret is unknown have none.
///
/// # Errors
/// See [`Store`].
pub async fn all_secrets(store: &Store, configured: &[Secret]) -> Result<Vec<Secret>, StoreError> {
    let managed = store.list_endpoints().await?.into_iter().map(|endpoint| endpoint.secret);
    let managed = managed.filter(|secret| !secret.expose().is_empty() && !configured.contains(secret));
    Ok(configured.iter().cloned().chain(managed).collect())
}

/// Keeps what `ingest` accepts equal to [`all_secrets`], until the future is dropped. While the database is away the last known
/// secrets stay.
pub async fn follow(store: Store, ingest: Ingest, configured: Vec<Secret>) {
    let mut known = Vec::new();
    loop {
        match all_secrets(&store, &configured).await {
            Ok(secrets) if secrets != known => {
                ingest.set_secrets(&secrets);
                tracing::info!(count = secrets.len(), "the webhook secrets were read anew");
                known = secrets;
            }
            Ok(_) => {}
            Err(error) => tracing::debug!(%error, "the webhook secrets could not be read; the last known ones stay"),
        }
        tokio::time::sleep(Duration::from_millis(READ_EVERY_MS)).await;
    }
}
