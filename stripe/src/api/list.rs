//! Pages of lists.

use serde::Deserialize;
use serde_json::value::RawValue;

use super::{Answer, ApiError, Failure};

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

/// The properties of a list that matter.
#[derive(Deserialize)]
struct Form<'a> {
    #[serde(borrow)]
    data: Vec<&'a RawValue>,
    #[serde(default)]
    has_more: Option<bool>,
    #[serde(default)]
    next_page_url: Option<String>,
}

impl<'a> ListPage<'a> {
    /// Reads a page: `{"data": […], "has_more": …}` (v1) or `{"data": […], "next_page_url": …}` (v2), also embedded lists.
    ///
    /// # Errors
    /// When `data` is missing or no array.
    pub fn parse(body: &'a [u8]) -> Result<Self, NotAList> {
        let form: Form<'a> = serde_json::from_slice(body).map_err(|error| NotAList(error.to_string()))?;
        // Some proxies and fakes send an empty text where Stripe sends null.
        let next_page_url = form.next_page_url.filter(|url| !url.is_empty());
        let has_more = form.has_more.unwrap_or(next_page_url.is_some());
        Ok(Self { elements: form.data, has_more, next_page_url })
    }
}

impl Answer {
    /// The answer as a page of a list.
    ///
    /// # Errors
    /// [`ApiError::Unavailable`] when it is none.
    pub fn page(&self) -> Result<ListPage<'_>, ApiError> {
        ListPage::parse(&self.body).map_err(|error| {
            ApiError::Unavailable(Box::new(Failure {
                method: "GET",
                path: self.path.clone(),
                request_id: self.request_id.clone(),
                message: error.to_string(),
                ..Failure::default()
            }))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(page: &ListPage<'_>) -> Vec<String> {
        page.elements.iter().map(|element| element.get().to_owned()).collect()
    }

    #[test]
    fn both_forms_of_a_page_are_read_byte_for_byte() {
        let v1 = br#"{"object":"list","url":"/v1/x","has_more":true,"data":[{"id":"a","n":1.50e2 , "s":"\u0000\ud800"},{"id":"b"}]}"#;
        let page = ListPage::parse(v1).unwrap();
        assert_eq!(texts(&page), [r#"{"id":"a","n":1.50e2 , "s":"\u0000\ud800"}"#, r#"{"id":"b"}"#]);
        assert!(page.has_more && page.next_page_url.is_none());

        let v2 = br#"{"data":[{"id":"a"}],"next_page_url":"/v2/core/events?page=x","previous_page_url":null}"#;
        let page = ListPage::parse(v2).unwrap();
        assert_eq!((page.has_more, page.next_page_url.as_deref()), (true, Some("/v2/core/events?page=x")));

        for last in [
            r#"{"data":[],"next_page_url":null}"#,
            r#"{"data":[],"has_more":false}"#,
            r#"{"data":[],"next_page_url":""}"#,
        ] {
            let page = ListPage::parse(last.as_bytes()).unwrap();
            assert!(page.elements.is_empty() && !page.has_more && page.next_page_url.is_none(), "{last}");
        }
    }

    #[test]
    fn what_is_no_list_is_refused() {
        for text in [
            "",
            "{}",
            "[]",
            r#"{"data":{}}"#,
            r#"{"data":null}"#,
            r#"{"id":"cus_1","object":"customer"}"#,
            r#"{"data":[1"#,
        ] {
            assert!(ListPage::parse(text.as_bytes()).is_err(), "{text}");
        }
    }
}
