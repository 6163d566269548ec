//! One object by its id.

use billhook_store::{Store, StoreError};
use billhook_stripe::api::{Api, ApiError};
use jiff::Timestamp;

/// What reading one object did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Single {
    /// Its kind.
    pub object: &'static str,
    /// The object as its row holds it now: `None` when Stripe no longer has it and the row is gone.
    pub json: Option<String>,
}

/// Why an object was not read.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SingleError {
    /// No kind has ids of this form. Over HTTP this is the contract's answer without `data`.
    #[error("no kind of object has ids like this one; name the kind")]
    Unrecognised,
    /// Several kinds have ids of this form.
    #[error("ids like this one belong to several kinds: {}; name the kind", .candidates.join(", "))]
    Ambiguous {
        /// The kinds, the likeliest first.
        candidates: Vec<&'static str>,
    },
    /// The hint names no kind.
    #[error(transparent)]
    Name(#[from] super::names::NameError),
    /// Stripe offers no way to read it by its id alone.
    #[error("objects of kind {object} cannot be read by their id alone")]
    NotReadable {
        /// The kind.
        object: &'static str,
    },
    /// Stripe gave no answer.
    #[error(transparent)]
    Api(#[from] ApiError),
    /// The database failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Reads one object from Stripe and writes its row. `hint` names the kind where the id does not tell it.
///
/// # Errors
/// See [`SingleError`].
pub async fn single(
    _store: &Store,
    _api: &Api,
    id: &str,
    hint: Option<&str>,
    _now: Timestamp,
) -> Result<Single, SingleError> {
    let _ = (id, hint);
    Err(SingleError::Unrecognised)
}
