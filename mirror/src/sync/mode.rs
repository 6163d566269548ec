//! Live or test: a database holds one of them.

use billhook_store::{Store, StoreError};

/// Why nothing is read from Stripe.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ModeError {
    /// The key belongs to the other mode than the rows.
    #[error(
        "the API key is of {} mode and the database holds {} data; use a key of the same mode, or another database",
        name(*.key), name(!.key)
    )]
    Mismatch {
        /// Whether the key is live.
        key: bool,
    },
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a mode is called, also in the setting `mode`.
pub(crate) fn name(livemode: bool) -> &'static str {
    if livemode { "live" } else { "test" }
}

/// Compares the key's mode with the database's, which it decides when nothing has decided it yet. Returns the database's mode,
/// when it is known.
///
/// # Errors
/// [`ModeError::Mismatch`], and when the database fails.
pub async fn check_mode(store: &Store, livemode: Option<bool>) -> Result<Option<bool>, ModeError> {
    let Some(key) = livemode else { return Ok(store.setting("mode").await?.map(|mode| mode == name(true))) };
    let pinned = store.pin_setting("mode", name(key)).await?;
    if pinned == name(key) { Ok(Some(key)) } else { Err(ModeError::Mismatch { key }) }
}
