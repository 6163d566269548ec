//! Where a walk stands, and the request that goes on from there.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::streams::{Created, Paging, Stream};
use super::window::Window;

/// Objects on a page: the most that Stripe gives.
pub(super) const PAGE_OBJECTS: usize = 100;

/// Ids of the last page that are kept: when the object behind a cursor is deleted, the list goes on from the one before it.
const IDS_KEPT: usize = 5;

/// Where a walk through one list stands.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Position {
    /// Ids at the end of the last page; the last one is the cursor.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) after: Vec<String>,
    /// The least `created` so far, in Unix seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) low: Option<i64>,
    /// Path and query of the next page (v2).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) url: Option<String>,
}

impl Position {
    /// Behind a page that ends with these ids.
    pub(super) fn behind(ids: &[String], low: Option<i64>, url: Option<String>) -> Self {
        Self { after: ids[ids.len().saturating_sub(IDS_KEPT)..].to_vec(), low, url }
    }

    fn is_beginning(&self) -> bool {
        self.after.is_empty() && self.url.is_none()
    }

    /// Another way to go on when the object behind the cursor is gone: from its `created` on, else from an id before it, else
    /// from the beginning. Some objects are read twice then, and none is left out.
    pub(super) fn without_cursor(&self, stream: &Stream) -> Option<Self> {
        if self.is_beginning() {
            return None;
        }
        if stream.created != Created::No && self.low.is_some() {
            return Some(Self { low: self.low, ..Self::default() });
        }
        let after = self.after.split_last().map(|(_, before)| before.to_vec()).unwrap_or_default();
        Some(Self { after, low: self.low, url: None })
    }
}

/// Where the walk of a segment stands: what the store keeps as its cursor.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Cursor {
    /// For lists below parents: the parent that is being read, or, with an empty position, that was read last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) parent: Option<String>,
    /// For lists below parents: the last parent that is to be read; `None` when there is no last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) until: Option<String>,
    #[serde(flatten)]
    pub(super) position: Position,
}

impl Cursor {
    /// Reads a stored cursor. One that nobody can read starts the walk again, which costs requests and harms nothing.
    pub(super) fn parse(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_default()
    }

    pub(super) fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

/// What is asked for.
pub(super) struct Ask<'a> {
    pub(super) stream: &'static Stream,
    pub(super) window: Window,
    pub(super) position: &'a Position,
    pub(super) parent: Option<&'a str>,
    pub(super) limit: usize,
    pub(super) expand: bool,
}

impl Ask<'_> {
    /// Path and parameters. Bounds that are open are not sent.
    pub(super) fn request(&self) -> (String, Vec<(String, String)>) {
        if let Some(url) = &self.position.url {
            return (url.clone(), Vec::new());
        }
        let stream = self.stream;
        let mut query: Vec<(String, String)> = Vec::new();
        let mut add = |name: &str, value: String| query.push((name.to_owned(), value));
        stream.query.iter().for_each(|(name, value)| add(name, (*value).to_owned()));
        if let (Some(parent), Some(parameter)) = (self.parent, stream.parent.and_then(|parent| parent.parameter)) {
            add(parameter, parent.to_owned());
        }
        let list = stream.paging != Paging::Single;
        if matches!(stream.paging, Paging::Cursor | Paging::NextPage) {
            add("limit", self.limit.to_string());
        }
        // A walk that lost its cursor goes on at the second it had come to.
        let resumed = self.position.low.filter(|_| self.position.after.is_empty()).map(|low| low.saturating_add(1));
        let lt = self.window.lt.into_iter().chain(resumed).min();
        for (name, bound) in [("created[gte]", self.window.gte), ("created[lt]", lt)] {
            match (stream.created, bound) {
                (Created::Seconds, Some(bound)) => add(name, bound.to_string()),
                (Created::DateTime, Some(bound)) => {
                    add(name, Timestamp::from_second(bound).unwrap_or(Timestamp::MAX).to_string());
                }
                _ => {}
            }
        }
        for property in stream.expand.iter().filter(|_| self.expand) {
            add("expand[]", if list { format!("data.{property}") } else { (*property).to_owned() });
        }
        if let Some(last) = self.position.after.last() {
            add("starting_after", last.clone());
        }
        let path = match self.parent {
            Some(parent) => stream.path.replace("{parent}", &billhook_stripe::api::path_segment(parent)),
            None => stream.path.clone(),
        };
        (path, query)
    }
}

#[cfg(test)]
mod tests {
    use super::super::streams;
    use super::*;

    fn ask(stream: &str, window: Window, position: &Position, parent: Option<&str>) -> String {
        let stream = streams::named(stream).unwrap();
        let (path, query) = Ask { stream, window, position, parent, limit: 100, expand: true }.request();
        let query: Vec<String> = query.into_iter().map(|(name, value)| format!("{name}={value}")).collect();
        format!("{path}?{}", query.join("&"))
    }

    #[test]
    fn open_bounds_are_not_sent() {
        let beginning = Position::default();
        assert_eq!(ask("customer", Window::default(), &beginning, None), "/v1/customers?limit=100");
        let window = Window { gte: Some(5), lt: Some(9) };
        let bounded = "/v1/customers?limit=100&created[gte]=5&created[lt]=9";
        assert_eq!(ask("customer", window, &beginning, None), bounded);
        assert_eq!(
            ask("v2.money_management.transaction", window, &beginning, None),
            "/v2/money_management/transactions?limit=100&created[gte]=1970-01-01T00:00:05Z&created[lt]=1970-01-01T00:00:09Z"
        );
        assert_eq!(ask("payment_method@custom", window, &beginning, None), "/v1/payment_methods?type=custom&limit=100");
    }

    #[test]
    fn parents_stand_in_the_path_or_in_a_parameter() {
        let position = Position::behind(&["a".into(), "b".into()], None, None);
        assert_eq!(
            ask("person@account", Window::default(), &position, Some("acct_1")),
            "/v1/accounts/acct_1/persons?limit=100&starting_after=b"
        );
        assert_eq!(
            ask("subscription@test_clock", Window::default(), &Position::default(), Some("clock_1")),
            "/v1/subscriptions?status=all&test_clock=clock_1&limit=100"
        );
        assert!(ask("checkout.session", Window::default(), &position, None).contains("expand[]=data.line_items"));
    }

    #[test]
    fn a_lost_cursor_goes_on_from_the_second_or_from_the_id_before() {
        let (customers, methods) = (streams::named("customer").unwrap(), streams::named("payment_method").unwrap());
        let position = Position::behind(&["a".into(), "b".into()], Some(70), None);
        let resumed = position.without_cursor(customers).unwrap();
        assert_eq!(
            ask("customer", Window { gte: None, lt: Some(90) }, &resumed, None),
            "/v1/customers?limit=100&created[lt]=71"
        );
        let position = Position { low: None, ..position };
        let before = position.without_cursor(methods).unwrap();
        assert_eq!(before.after, ["a"]);
        let beginning = before.without_cursor(methods).unwrap();
        assert_eq!(beginning, Position::default());
        assert_eq!(beginning.without_cursor(methods), None);
    }

    #[test]
    fn a_cursor_survives_being_stored() {
        let position = Position::behind(&["a\"b".into()], Some(70), None);
        let cursor = Cursor { parent: Some("cus_1".into()), until: None, position };
        assert_eq!(Cursor::parse(&cursor.text()), cursor);
        assert_eq!(Cursor::parse(""), Cursor::default());
        assert_eq!(Cursor::parse("{\"from\":\"a newer program\"}"), Cursor::default());
    }
}
