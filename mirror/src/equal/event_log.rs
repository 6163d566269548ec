//! Stripe's two lists of events, page by page, exactly as they come.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use billhook_stripe::api::{Class, Get, ListPage};
use bytes::Bytes;
use jiff::Timestamp;
use serde::Deserialize;
use tokio::sync::mpsc;

use super::error::EqualError;
use super::parts::Parts;
use super::slices::Slice;

/// One of the lists.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct EventLog {
    pub(super) path: &'static str,
    /// The setting that remembers up to which second it has been read.
    pub(super) cursor: &'static str,
    /// Whether it belongs to the API's second generation: times are texts, and a page names the next one.
    pub(super) thin: bool,
}

/// Snapshot events.
pub(super) const SNAPSHOT_EVENTS: EventLog = EventLog { path: "/v1/events", cursor: "events_cursor", thin: false };

/// Thin events.
pub(super) const THIN_EVENTS: EventLog = EventLog { path: "/v2/core/events", cursor: "thin_events_cursor", thin: true };

/// Events on one page: the most that Stripe gives.
const PAGE_EVENTS: &str = "100";

/// The id of an event, which is the cursor behind it.
#[derive(Deserialize)]
struct Identified {
    id: String,
}

type Query = Vec<(String, String)>;

fn parameter(name: &str, value: impl Into<String>) -> (String, String) {
    (name.to_owned(), value.into())
}

impl EventLog {
    /// The time at Stripe, in Unix seconds, from the shortest request to this list.
    pub(super) async fn now(&self, parts: &Parts) -> Result<i64, EqualError> {
        let query = [parameter("limit", "1")];
        let answer =
            parts.api.get(&Get { path: self.path, query: &query, account: "", class: Class::Interactive }).await?;
        answer.page()?;
        Ok(answer.date)
    }

    fn bound(&self, seconds: i64) -> String {
        if self.thin {
            Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX).to_string()
        } else {
            seconds.to_string()
        }
    }

    /// Sends every page of a slice, newest first; the next page is asked for while the last one is being taken. Returns the
    /// number of pages. `more` are further parameters of the list.
    pub(super) async fn read(
        &self,
        parts: &Parts,
        slice: Slice,
        more: &[(String, String)],
        pages: mpsc::Sender<Vec<Bytes>>,
    ) -> Result<u64, EqualError> {
        let mut query: Query = vec![
            parameter("limit", PAGE_EVENTS),
            parameter("created[gte]", self.bound(slice.from)),
            parameter("created[lt]", self.bound(slice.to)),
        ];
        query.extend_from_slice(more);
        let mut next = Next { path: self.path.to_owned(), query: query.clone() };
        let mut ends = HashSet::new();
        for count in 1.. {
            let get = Get { path: &next.path, query: &next.query, account: "", class: Class::Backfill };
            let answer = parts.api.get(&get).await?;
            let page = answer.page()?;
            let events: Vec<Bytes> =
                page.elements.iter().map(|event| Bytes::copy_from_slice(event.get().as_bytes())).collect();
            let following = self.following(&page, &query, &mut ends)?;
            // The receiver is gone only when the whole pass has failed.
            if pages.send(events).await.is_err() {
                return Ok(count);
            }
            match following {
                Some(following) => next = following,
                None => return Ok(count),
            }
        }
        Ok(u64::MAX)
    }

    /// The request for the page behind this one; `None` at the end. `ends` are hashes of where the pages so far ended, 8 bytes a
    /// page: a list that comes back to one of them would never end.
    fn following(
        &self,
        page: &ListPage<'_>,
        query: &[(String, String)],
        ends: &mut HashSet<u64>,
    ) -> Result<Option<Next>, EqualError> {
        if !page.has_more {
            return Ok(None);
        }
        let endless = |reason| EqualError::Endless { path: self.path, reason };
        let last = page.elements.last().ok_or(endless("an empty page says that more follows"))?;
        let id = serde_json::from_str::<Identified>(last.get()).map_err(|_| endless("an event has no id"))?.id;
        let mut hasher = DefaultHasher::new();
        (&id, &page.next_page_url).hash(&mut hasher);
        if !ends.insert(hasher.finish()) {
            return Err(endless("a page ends where an earlier one ended"));
        }
        if let Some(path) = &page.next_page_url {
            return Ok(Some(Next { path: path.clone(), query: Vec::new() }));
        }
        let mut query = query.to_vec();
        query.push(parameter("starting_after", id));
        Ok(Some(Next { path: self.path.to_owned(), query }))
    }
}

struct Next {
    path: String,
    query: Query,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_that_comes_back_to_an_earlier_page_is_endless() {
        let mut ends = HashSet::new();
        let mut follow = |last: &str| {
            let body = format!(r#"{{"object":"list","data":[{{"id":"{last}"}}],"has_more":true}}"#);
            let page = ListPage::parse(body.as_bytes()).expect("a page");
            SNAPSHOT_EVENTS.following(&page, &[], &mut ends).map(|next| next.map(|next| next.query))
        };
        for id in ["evt_3", "evt_2", "evt_1"] {
            let next = follow(id).expect("it goes on");
            assert_eq!(next, Some(vec![parameter("starting_after", id)]));
        }
        assert!(matches!(follow("evt_2"), Err(EqualError::Endless { path: "/v1/events", .. })));
    }
}
