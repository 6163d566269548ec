//! What a connection is doing and since when: noted by its stream and its requests, read by what enforces its deadlines.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::Limits;

/// What has to happen to a connection when its deadline passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sentence {
    /// It finishes its requests and closes: at once over HTTP/1 when it has none, after telling the client over HTTP/2.
    Finish,
    /// It is dropped as it is.
    Cut,
}

/// Facts about one connection.
///
/// Requests of an HTTP/2 connection end on other threads than the one that reads its stream, so each fact is an atomic of its
/// own. A reader that sees two of them out of step is off by one request for a moment, never by a deadline.
pub(crate) struct Activity {
    opened: Instant,
    /// Requests between their headers and the last byte of their answer.
    requests: AtomicUsize,
    /// Since when the number of requests is zero, or is not.
    changed: Moment,
    /// While there is no request: bytes have come that may become one.
    head_begun: AtomicBool,
    /// Since when the socket has not taken everything it was given.
    blocked: Moment,
    /// Since when the connection is closed for writing.
    closed: Moment,
}

/// A point in time as milliseconds after the connection was opened, plus one; zero means "not".
#[derive(Default)]
struct Moment(AtomicU64);

impl Moment {
    fn set(&self, opened: Instant) {
        let milliseconds = u64::try_from(opened.elapsed().as_millis()).unwrap_or(u64::MAX - 1);
        self.0.store(milliseconds.saturating_add(1), Ordering::Release);
    }

    fn set_once(&self, opened: Instant) {
        if self.0.load(Ordering::Acquire) == 0 {
            self.set(opened);
        }
    }

    fn clear(&self) {
        self.0.store(0, Ordering::Release);
    }

    fn get(&self, opened: Instant) -> Option<Instant> {
        let stored = self.0.load(Ordering::Acquire);
        stored.checked_sub(1).map(|milliseconds| opened + Duration::from_millis(milliseconds))
    }
}

impl Activity {
    /// A connection that was opened now and owes its first request.
    pub(crate) fn new() -> Arc<Self> {
        let opened = Instant::now();
        let activity = Self {
            opened,
            requests: AtomicUsize::new(0),
            changed: Moment::default(),
            head_begun: AtomicBool::new(true),
            blocked: Moment::default(),
            closed: Moment::default(),
        };
        activity.changed.set(opened);
        Arc::new(activity)
    }

    /// Bytes have come from the client.
    pub(crate) fn bytes_read(&self) {
        if self.requests.load(Ordering::Acquire) == 0 && !self.head_begun.swap(true, Ordering::AcqRel) {
            self.changed.set(self.opened);
        }
    }

    /// The socket has taken only a part of what it was given, or nothing.
    pub(crate) fn write_blocked(&self) {
        self.blocked.set_once(self.opened);
    }

    /// The socket has taken everything it was given.
    pub(crate) fn write_done(&self) {
        self.blocked.clear();
    }

    /// The connection is closed for writing.
    pub(crate) fn write_closed(&self) {
        self.closed.set_once(self.opened);
    }

    /// The headers of a request are complete. The request lasts until the guard is dropped.
    pub(crate) fn request(self: &Arc<Self>) -> RequestGuard {
        if self.requests.fetch_add(1, Ordering::AcqRel) == 0 {
            self.head_begun.store(false, Ordering::Release);
            self.changed.set(self.opened);
        }
        RequestGuard(Arc::clone(self))
    }

    /// Since when the connection waits for its client; `None` while it works for it.
    pub(crate) fn waiting_since(&self) -> Option<Instant> {
        if self.requests.load(Ordering::Acquire) > 0 { None } else { self.changed.get(self.opened) }
    }

    /// When the patience with this connection ends as things stand, and what happens then. `finishing` is since when it has
    /// been finishing.
    pub(crate) fn deadline(&self, limits: &Limits, finishing: Option<Instant>) -> (Instant, Sentence) {
        let after = |since: Instant, milliseconds: u64| since + Duration::from_millis(milliseconds);
        if let Some(since) = self.closed.get(self.opened) {
            return (after(since, limits.linger_deadline_ms), Sentence::Cut);
        }
        if let Some(since) = self.blocked.get(self.opened) {
            return (after(since, limits.write_deadline_ms), Sentence::Cut);
        }
        let is_busy = self.requests.load(Ordering::Acquire) > 0;
        let since = self.changed.get(self.opened).unwrap_or(self.opened);
        match finishing {
            Some(finishing) if is_busy => (after(finishing, limits.shutdown_deadline_ms), Sentence::Cut),
            Some(finishing) => (after(since.max(finishing), limits.linger_deadline_ms), Sentence::Cut),
            None if is_busy => (after(since, limits.busy_deadline_ms), Sentence::Finish),
            None if self.head_begun.load(Ordering::Acquire) => {
                (after(since, limits.header_deadline_ms), Sentence::Finish)
            }
            None => (after(since, limits.idle_deadline_ms), Sentence::Finish),
        }
    }
}

/// One request in progress; dropped with the last byte of its answer.
pub(crate) struct RequestGuard(Arc<Activity>);

impl Drop for RequestGuard {
    fn drop(&mut self) {
        if self.0.requests.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.0.changed.set(self.0.opened);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Time from opening to the deadline.
    fn deadline(activity: &Activity) -> (Duration, Sentence) {
        let (at, sentence) = activity.deadline(&Limits::default(), None);
        (at - activity.opened, sentence)
    }

    #[test]
    fn bytes_do_not_prolong_the_first_headers() {
        let activity = Activity::new();
        let expected = (Duration::from_millis(Limits::default().header_deadline_ms), Sentence::Finish);
        assert_eq!(deadline(&activity), expected);
        activity.bytes_read();
        activity.bytes_read();
        assert_eq!(deadline(&activity), expected);
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_follows_what_the_connection_does() {
        let limits = Limits::default();
        let seconds = |count| tokio::time::advance(Duration::from_secs(count));
        let expected = |at_seconds: u64, milliseconds: u64, sentence| {
            (Duration::from_secs(at_seconds) + Duration::from_millis(milliseconds), sentence)
        };
        let activity = Activity::new();
        seconds(1).await;
        let first = activity.request();
        seconds(1).await;
        let second = activity.request();
        drop(first);
        assert!(activity.waiting_since().is_none(), "one request is left");
        assert_eq!(deadline(&activity), expected(1, limits.busy_deadline_ms, Sentence::Finish));
        seconds(1).await;
        drop(second);
        assert!(activity.waiting_since().is_some());
        assert_eq!(deadline(&activity), expected(3, limits.idle_deadline_ms, Sentence::Finish));
        seconds(1).await;
        activity.bytes_read();
        assert_eq!(deadline(&activity), expected(4, limits.header_deadline_ms, Sentence::Finish));
        seconds(1).await;
        activity.write_closed();
        assert_eq!(deadline(&activity), expected(5, limits.linger_deadline_ms, Sentence::Cut));
    }

    #[tokio::test(start_paused = true)]
    async fn a_full_socket_counts_from_its_first_refusal_until_all_is_taken() {
        let limits = Limits::default();
        let activity = Activity::new();
        let _request = activity.request();
        activity.write_blocked();
        tokio::time::advance(Duration::from_secs(1)).await;
        activity.write_blocked();
        assert_eq!(deadline(&activity), (Duration::from_millis(limits.write_deadline_ms), Sentence::Cut));
        activity.write_done();
        assert_eq!(deadline(&activity), (Duration::from_millis(limits.busy_deadline_ms), Sentence::Finish));
    }

    #[tokio::test(start_paused = true)]
    async fn a_finishing_connection_is_cut_in_the_end() {
        let limits = Limits::default();
        let activity = Activity::new();
        let finishing = Some(activity.opened);
        let request = activity.request();
        let (at, sentence) = activity.deadline(&limits, finishing);
        assert_eq!(
            (at - activity.opened, sentence),
            (Duration::from_millis(limits.shutdown_deadline_ms), Sentence::Cut)
        );
        drop(request);
        let (at, sentence) = activity.deadline(&limits, finishing);
        assert_eq!((at - activity.opened, sentence), (Duration::from_millis(limits.linger_deadline_ms), Sentence::Cut));
    }
}
