//! Pages of lists.

use serde_json::value::RawValue;

use super::{Answer, ApiError};

/// One page of a list, of either API generation.
#[derive(Debug, Clone)]
pub struct ListPage<'a> {
    /// The objects, byte for byte, in the order Stripe sent them.
    pub elements: Vec<&'a RawValue>,
    /// Whether there are more behind this page.
    pub has_more: bool,
    /// Path and query of the next page, in the v2 form only.
    pub next_page_url: Option<String>,
}

/// The text is no page of a list.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the answer is no list: {0}")]
pub struct NotAList(pub String);

impl<'a> ListPage<'a> {
    /// Reads a page: `{"data": […], "has_more": …}` (v1) or `{"data": […], "next_page_url": …}` (v2), also embedded lists.
    ///
    /// # Errors
    /// When `data` is missing or no array.
    pub fn parse(_body: &'a [u8]) -> Result<Self, NotAList> {
        Err(NotAList("not built yet".to_owned()))
    }
}

impl Answer {
    /// The answer as a page of a list.
    ///
    /// # Errors
    /// [`ApiError::Unavailable`] when it is none.
    pub fn page(&self) -> Result<ListPage<'_>, ApiError> {
        ListPage::parse(&self.body).map_err(|error| ApiError::Configuration(error.to_string()))
    }
}
