//! The walk of one segment: fetch a page, check it, commit it with the cursor, while the next one is on its way.

use std::sync::Arc;

use billhook_store::{Advance, NewSegment, RECONCILE, Segment, SegmentEnd, StoreError};
use billhook_stripe::api::Class;
use jiff::SignedDuration;
use tokio::sync::oneshot;

use super::fetch::{Fetcher, Got, NoPage};
use super::guard::ListGuard;
use super::page::{Elements, Facts, FetchedPage, ProjectedPage};
use super::request::{Cursor, Position};
use super::shared::{LEASE_SECONDS, Shared};
use super::split;
use super::streams::{Paging, Stream};
use super::window::Window;
use super::writer::{PageCommit, Written};
use crate::equal::finds::Seen;

/// How a walk ended.
#[derive(Debug)]
pub(super) enum Ending {
    /// The segment is closed, or belongs to somebody else.
    Over,
    /// The process stops; the segment is given back.
    Stopped,
    /// Nothing is wrong with the segment, and it is tried again soon.
    Released(String),
    /// A failure that may pass.
    Postponed(String),
    /// Stripe declined; it may not the next time.
    Declined(String),
    /// Stripe has no such list, or the parent is gone.
    Missing(String),
    /// Another stream reads the same kind.
    Fallback(&'static str),
    /// It is over for a reason.
    Closed(SegmentEnd, String),
}

impl From<NoPage> for Ending {
    fn from(no_page: NoPage) -> Self {
        match no_page {
            NoPage::Retry(message) => Self::Postponed(message),
            NoPage::Key(message) => Self::Released(message),
            NoPage::NoPermission(message) => Self::Closed(SegmentEnd::NoPermission, message),
            NoPage::NotAvailable(message) => Self::Closed(SegmentEnd::NotAvailable, message),
            NoPage::NotFound(message) => Self::Missing(message),
            NoPage::Declined(message) => Self::Declined(message),
            NoPage::Fallback(stream) => Self::Fallback(stream),
            NoPage::Failed(message) => Self::Closed(SegmentEnd::Failed, message),
        }
    }
}

pub(super) struct Walk {
    pub(super) shared: Arc<Shared>,
    pub(super) segment: Segment,
    pub(super) stream: &'static Stream,
    fetcher: Fetcher,
    guard: ListGuard,
    /// What a person should know; stays for all pages that follow.
    message: String,
    skipped: u64,
    /// For lists below parents: the last parent that is this segment's.
    pub(super) until: Option<String>,
}

/// What follows a page.
struct Next {
    /// Where the walk goes on; `None` at its end.
    position: Option<Position>,
    /// The second at which its lower part is cut off.
    cut: Option<i64>,
}

impl Walk {
    pub(super) fn new(shared: Arc<Shared>, segment: Segment, stream: &'static Stream) -> Self {
        let window = Window { gte: segment.created_gte, lt: segment.created_lt };
        let class = if segment.trigger == RECONCILE { Class::Background } else { Class::Backfill };
        let fetcher = Fetcher::new(shared.api.clone(), class, stream, window, shared.options.account.clone());
        let (guard, message, skipped) = Default::default();
        Self { shared, segment, stream, fetcher, guard, message, skipped, until: None }
    }

    /// Walks from where the segment stands to its end.
    pub(super) async fn run(mut self) -> Ending {
        let cursor = Cursor::parse(&self.segment.cursor);
        let walked = match self.stream.parent {
            Some(parent) => self.below_parents(parent, cursor).await,
            None => self.whole(cursor.position).await,
        };
        walked.err().unwrap_or(Ending::Over)
    }

    async fn whole(&mut self, position: Position) -> Result<(), Ending> {
        match self.list(position, None).await {
            Err(Ending::Fallback(stream)) => self.fall_back(stream).await,
            // Stripe does not know the path: the account does not have the product.
            Err(Ending::Missing(message)) => Err(Ending::Closed(SegmentEnd::NotAvailable, message)),
            result => result,
        }
    }

    /// Walks one list, of a parent or of the whole, and commits its pages.
    pub(super) async fn list(&mut self, mut position: Position, parent: Option<&str>) -> Result<(), Ending> {
        let mut got = self.fetch(&position, parent).await?;
        loop {
            if got.restarted {
                self.guard.restart();
            }
            let page = got.page;
            let texts = page.texts().map_err(|error| Ending::Postponed(self.describe(&page, &error)))?;
            let elements = Elements::read(&texts);
            let facts = elements.facts(self.stream, &texts);
            self.check_mode(&facts).await?;
            if let Err(oddity) = self.guard.check(&facts) {
                self.shared.failed("odd_list");
                if self.guard.is_too_odd() {
                    return Err(Ending::Closed(SegmentEnd::Failed, self.describe(&page, oddity)));
                }
                got = self.fetch(&position, parent).await?;
                continue;
            }
            let next = self.next(&facts, parent.is_some());
            let projected = elements.project(&page);
            let advance = self.advance(&next, &facts, elements.len(), &projected, parent);
            drop(elements);
            drop(texts);
            let (shared, related, compare) = (Arc::clone(&self.shared), self.segment.related, self.compares());
            let commit = commit(&shared, Some(page), projected, advance, related, compare);
            match next.position {
                None => return commit.await,
                Some(behind) => {
                    position = behind;
                    let (upcoming, committed) = tokio::join!(self.fetch(&position, parent), commit);
                    committed?;
                    if shared.is_halted() {
                        return Err(Ending::Stopped);
                    }
                    got = upcoming?;
                }
            }
        }
    }

    /// The next page, unless the process stops while it is waited for.
    async fn fetch(&mut self, position: &Position, parent: Option<&str>) -> Result<Got, Ending> {
        let shared = Arc::clone(&self.shared);
        tokio::select! {
            biased;
            () = shared.halted() => Err(Ending::Stopped),
            got = self.fetcher.get(position, parent) => {
                if got.is_ok() {
                    shared.metrics.sync_pages.inc();
                }
                Ok(got?)
            }
        }
    }

    async fn check_mode(&self, facts: &Facts) -> Result<(), Ending> {
        match facts.livemode {
            Some(livemode) => self.shared.accept_mode(livemode).await,
            None => Ok(()),
        }
    }

    fn next(&mut self, facts: &Facts, below_parent: bool) -> Next {
        let window = self.fetcher.window;
        let low = facts.low();
        let below = low.zip(window.gte).is_some_and(|(low, gte)| low < gte);
        // What lies below the window is somebody else's since the segment was cut.
        if !facts.has_more || below {
            return Next { position: None, cut: None };
        }
        let shareable = !below_parent && !self.compares();
        let cut = shareable.then(|| split::cut(self.stream, window, facts, &self.shared.idle)).flatten();
        if cut.is_some() {
            self.fetcher.window.gte = cut;
        }
        let url = facts.next_url.clone().filter(|_| self.stream.paging == Paging::NextPage);
        Next { position: Some(Position::behind(&facts.ids, low, url)), cut }
    }

    fn advance(
        &mut self,
        next: &Next,
        facts: &Facts,
        objects: usize,
        projected: &ProjectedPage,
        parent: Option<&str>,
    ) -> Advance {
        if let Some(first) = projected.skipped.first() {
            self.skipped += projected.skipped.len() as u64;
            self.shared.failed("not_projectable");
            self.message = format!("{} objects have no row, the last of them {first}", self.skipped);
            tracing::warn!(stream = self.stream.name, first, "objects of a page have no row and are left out");
        }
        let cursor = Cursor {
            parent: parent.map(ToOwned::to_owned),
            until: self.until.clone(),
            position: next.position.clone().unwrap_or_default(),
        };
        // The lists below parents begin anew with each parent: how far one of them has come says nothing about the whole.
        let low = facts.low().filter(|_| parent.is_none());
        let closed = next.position.is_none() && parent.is_none();
        let part = |cut| NewSegment { created_lt: Some(cut), ..self.part(&self.stream.name, String::new()) };
        let split = next.cut.map(part);
        if let Some(cut) = next.cut {
            self.segment.created_gte = Some(cut);
        }
        Advance {
            cursor: cursor.text(),
            created_low: low,
            objects: objects as u64,
            closed: closed.then_some(SegmentEnd::Done),
            split: split.into_iter().collect(),
            ..self.standstill()
        }
    }

    /// An advance that changes nothing but the lease.
    pub(super) fn standstill(&mut self) -> Advance {
        let now = self.shared.clock.now();
        Advance {
            segment: self.segment.id,
            token: self.segment.token,
            cursor: String::new(),
            created_gte: self.segment.created_gte,
            created_low: None,
            objects: 0,
            requests: self.fetcher.take_requests(),
            closed: None,
            message: self.message.clone(),
            split: Vec::new(),
            lease_until: now.saturating_add(SignedDuration::from_secs(LEASE_SECONDS)).unwrap_or(now),
            now,
        }
    }

    /// Hands over to the stream that reads the same kind in another way.
    async fn fall_back(&mut self, stream: &'static str) -> Result<(), Ending> {
        tracing::info!(
            stream = self.stream.name,
            stream,
            "Stripe wants a parent for this list; all parents are gone through"
        );
        let split = vec![self.part(stream, String::new())];
        let advance = Advance { closed: Some(SegmentEnd::Done), split, ..self.standstill() };
        self.commit_alone(advance).await
    }

    /// A part of this segment for somebody else.
    pub(super) fn part(&self, stream: &str, cursor: String) -> NewSegment {
        NewSegment {
            stream: stream.to_owned(),
            created_gte: self.segment.created_gte,
            created_lt: self.segment.created_lt,
            cursor,
        }
    }

    /// Commits an advance without rows.
    pub(super) async fn commit_alone(&self, advance: Advance) -> Result<(), Ending> {
        commit(&self.shared, None, ProjectedPage::default(), advance, false, false).await
    }

    /// Whether this is the rolling re-list, which takes its time and compares before it writes.
    pub(super) fn compares(&self) -> bool {
        self.segment.trigger == RECONCILE
    }

    fn describe(&self, page: &FetchedPage, oddity: &str) -> String {
        let request = page.answer.request_id.as_deref().unwrap_or("unknown");
        format!("the list {} {oddity} (request {request}); reading it again later may help", page.answer.path)
    }

    pub(super) fn note(&mut self, message: String) {
        self.message = message;
    }

    /// Forgets the list so far: another one begins.
    pub(super) fn begin_list(&mut self) {
        self.guard = ListGuard::default();
    }
}

/// Has a page written, and waits until it is.
pub(super) async fn commit(
    shared: &Shared,
    page: Option<Arc<FetchedPage>>,
    projected: ProjectedPage,
    advance: Advance,
    related: bool,
    compare: bool,
) -> Result<(), Ending> {
    let (reply, written) = oneshot::channel();
    let split = !advance.split.is_empty();
    let related = related.then(|| shared.expected());
    let compare = page
        .as_ref()
        .filter(|_| compare)
        .map(|page| Seen { version: shared.api.version().to_owned(), until: page.answer.date });
    let page = PageCommit { page, projected, advance, related, compare, reply };
    // The writer outlives all walks, so neither of these fails while one goes on.
    shared.writer.send(page).await.map_err(|_| Ending::Stopped)?;
    match written.await.map_err(|_| Ending::Stopped)? {
        Ok(Written::Committed) => {
            if split {
                shared.wake.notify_one();
            }
            Ok(())
        }
        Ok(Written::Fenced) => {
            shared.failed("fenced");
            Err(Ending::Over)
        }
        Err(error) => Err(store_ending(&error)),
    }
}

/// What a failure of the database means for a walk.
pub(super) fn store_ending(error: &StoreError) -> Ending {
    if error.is_transient() { Ending::Stopped } else { Ending::Closed(SegmentEnd::Failed, error.to_string()) }
}
