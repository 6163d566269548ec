//! Reads: single objects, lists, events.

pub(crate) mod events;
mod expand;
mod filter;
pub(crate) mod list;
pub(crate) mod object;
pub(crate) mod query;
pub(crate) mod routes;

use bytes::Bytes;

/// Whether a read wants the newest shape, and what it expands.
#[derive(Debug, Clone, Copy)]
pub(crate) struct View<'a> {
    pub(crate) version: &'a str,
    pub(crate) expand: &'a [String],
}

/// A page in Stripe's list form.
pub(crate) fn list_body(items: &[Bytes], has_more: bool, url: &str) -> Bytes {
    let size: usize = items.iter().map(|item| item.len() + 1).sum();
    let mut body = Vec::with_capacity(size + url.len() + 64);
    body.extend_from_slice(br#"{"object":"list","data":["#);
    push_joined(&mut body, items);
    let url = serde_json::Value::from(url);
    body.extend_from_slice(format!(r#"],"has_more":{has_more},"url":{url}}}"#).as_bytes());
    Bytes::from(body)
}

/// A page in the form of the v2 API.
pub(crate) fn list_body_v2(items: &[Bytes], next_page_url: Option<&str>) -> Bytes {
    let mut body = Vec::new();
    body.extend_from_slice(br#"{"data":["#);
    push_joined(&mut body, items);
    let next = serde_json::Value::from(next_page_url);
    body.extend_from_slice(format!(r#"],"next_page_url":{next},"previous_page_url":null}}"#).as_bytes());
    Bytes::from(body)
}

fn push_joined(body: &mut Vec<u8>, items: &[Bytes]) {
    for (at, item) in items.iter().enumerate() {
        if at > 0 {
            body.push(b',');
        }
        body.extend_from_slice(item);
    }
}
