//! One object by its id.

use billhook_store::{DirtyMark, Store, StoreError};
use billhook_stripe::api::ApiError;
use billhook_stripe::catalogue::{self, Recognition};
use jiff::Timestamp;

use super::names::{NameError, object_named, unknown};
use super::source::ApiSource;
use crate::interpret::Policy;
use crate::reread::{Read, Settle};

/// What reading one object did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Single {
    /// Its kind.
    pub object: &'static str,
    /// The object as its row holds it now, which is newer than what was read when an event came in between. `None` when Stripe does
    /// not have it and no row is left.
    pub json: Option<String>,
    /// Whether Stripe has it.
    pub found: bool,
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
    Name(#[from] NameError),
    /// Stripe offers no way to read it by its id alone, or it has no rows.
    #[error("objects of kind {object} cannot be read by their id alone, or have no rows of their own")]
    NotReadable {
        /// The kind.
        object: &'static str,
    },
    /// The object changes faster than its lists can be read, or the database did not tell its parent.
    #[error("the {object} could not be read as a whole; try again")]
    Moving {
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

/// Prefixes that several kinds share and that the HTTP contract gives to one of them.
const SETTLED_PREFIXES: &[(&str, &str)] = &[("price_", "price")];

/// The kind of an object by its id; `hint` names it where the id does not tell.
///
/// # Errors
/// [`SingleError::Unrecognised`], [`SingleError::Ambiguous`] or [`SingleError::Name`].
pub fn recognise(id: &str, hint: Option<&str>) -> Result<&'static str, SingleError> {
    if let Some(hint) = hint {
        return object_named(hint).ok_or_else(|| unknown(hint).into());
    }
    match catalogue::recognise(id) {
        Recognition::One(kind) => Ok(kind.object),
        Recognition::Several(kinds) => {
            let settled = SETTLED_PREFIXES.iter().find(|(prefix, _)| id.starts_with(prefix));
            settled.map(|(_, object)| *object).ok_or_else(|| SingleError::Ambiguous {
                candidates: kinds.into_iter().map(|kind| kind.object).collect(),
            })
        }
        Recognition::Unknown => Err(SingleError::Unrecognised),
    }
}

/// Reads one object from Stripe and writes its row. `hint` names the kind where the id does not tell it.
///
/// # Errors
/// See [`SingleError`].
pub async fn single(
    store: &Store,
    source: &ApiSource,
    policy: &Policy,
    id: &str,
    hint: Option<&str>,
    now: Timestamp,
) -> Result<Single, SingleError> {
    let object = recognise(id, hint)?;
    let table = catalogue::table_of(object).ok_or(SingleError::NotReadable { object })?;
    let account = policy.account.clone();
    let read = source.get(object, id, &account).await?;
    let found = match &read {
        Read::Found { .. } => true,
        Read::Gone { .. } => false,
        Read::Later => return Err(SingleError::Moving { object }),
        Read::Never(_) => return Err(SingleError::NotReadable { object }),
    };
    let mark = DirtyMark {
        object: object.to_owned(),
        id: id.to_owned(),
        account,
        reason: String::new(),
        event_id: String::new(),
        not_before: now,
    };
    store.transact(Settle { reads: vec![(mark, read)], policy: policy.clone(), now }).await?;
    let row = store.rows(table, &[id.to_owned()]).await?.pop().flatten();
    Ok(Single { object, json: row.map(|row| row.raw), found })
}
