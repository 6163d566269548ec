//! Why a pass could not be finished. All of it is tried again.

use billhook_store::StoreError;
use billhook_stripe::api::ApiError;

use crate::sync::runs::StartError;

/// Why a pass could not be finished.
#[derive(Debug, Clone, thiserror::Error)]
pub enum EqualError {
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Stripe.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// Reading again could not be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// Stripe's list goes round in circles, or says that it goes on and shows nothing.
    #[error("the list at {path} does not end: {reason}; nothing of it was lost, it is read again from its beginning")]
    Endless {
        /// The path of the list.
        path: &'static str,
        /// What was odd.
        reason: &'static str,
    },
    /// A list cannot be read to its end.
    #[error("a list could not be read to its end: {0}")]
    Unreadable(String),
    /// Stripe refuses the key for everything.
    #[error("{0}")]
    KeyRefused(String),
    /// The account does not have it.
    #[error("{0}")]
    NotAvailable(String),
    /// The key may not read it.
    #[error("{0}")]
    NoPermission(String),
}
