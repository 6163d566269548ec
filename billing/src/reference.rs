//! References between Stripe's objects: an id, or the whole object where Billhook or Stripe put it in.

use serde::Deserialize;

/// What an object of Stripe's says about another one.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(untagged)]
pub(crate) enum Reference {
    Id(String),
    Object(Related),
}

/// The parts of a related object that matter here.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(crate) struct Related {
    id: String,
    email: Option<String>,
    #[serde(default)]
    deleted: bool,
}

impl Reference {
    pub(crate) fn id(&self) -> &str {
        match self {
            Self::Id(id) | Self::Object(Related { id, .. }) => id,
        }
    }

    /// The address of a customer who has one and was not deleted.
    pub(crate) fn email(&self) -> Option<&str> {
        match self {
            Self::Object(Related { email, deleted: false, .. }) => present(email.as_deref()),
            Self::Object(_) | Self::Id(_) => None,
        }
    }
}

/// A text that says something.
pub(crate) fn present(text: Option<&str>) -> Option<&str> {
    text.map(str::trim).filter(|text| !text.is_empty())
}
