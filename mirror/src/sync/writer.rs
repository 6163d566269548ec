//! Writes pages: everything that was read while the last transaction was in flight becomes the next one.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use billhook_core::Clock;
use billhook_core::metrics::Metrics;
use billhook_store::{Advance, Store, StoreError, Transaction, Work};
use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot, watch};

use super::page::{FetchedPage, ProjectedPage};
use crate::apply::{ApplyOutcome, Step};
use crate::equal::finds::{self, Seen};
use crate::interpret::{Change, Policy};
use crate::related::Related;

/// A page on its way into the database.
pub(super) struct PageCommit {
    /// The bytes, to project them again when a transaction failed.
    pub(super) page: Option<Arc<FetchedPage>>,
    pub(super) projected: ProjectedPage,
    pub(super) advance: Advance,
    /// When referenced objects are wanted: the kinds that are on their way anyway.
    pub(super) related: Option<Arc<HashSet<String>>>,
    /// For the rolling re-list: what the rows are compared with before they are replaced.
    pub(super) compare: Option<Seen>,
    pub(super) reply: oneshot::Sender<Result<Written, StoreError>>,
}

/// What became of a page.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Written {
    /// Its rows and its segment's cursor are committed.
    Committed,
    /// Somebody else works on the segment; nothing was written.
    Fenced,
}

/// Objects with which a transaction takes no further page, all writers together: beyond some hundreds it costs per row and not per
/// transaction, a longer one keeps the applier waiting, and one writer must leave something to the next.
const OBJECTS_MAX: usize = 800;

/// Bytes of pages with which a transaction takes no further page.
const BYTES_MAX: usize = 8 << 20;

/// First and longest pause after a failure that may pass, in milliseconds.
const RETRY_MS: (u64, u64) = (50, 2_000);

#[derive(Clone)]
pub(super) struct Writer {
    pub(super) store: Store,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) account: String,
    /// Writers in all.
    pub(super) writers: usize,
    /// Turns true when the process ends: then a database that is away is not waited for.
    pub(super) stopping: watch::Receiver<bool>,
}

impl Writer {
    /// Runs until every sender is gone.
    pub(super) async fn run(self, pages: Arc<tokio::sync::Mutex<mpsc::Receiver<PageCommit>>>) {
        let objects_max = OBJECTS_MAX / self.writers.max(1);
        loop {
            // The lock is held while pages are waited for, and not while they are written.
            let batch = next_batch(&mut *pages.lock().await, objects_max).await;
            let Some(batch) = batch else { return };
            self.commit(batch).await;
        }
    }

    async fn commit(&self, mut batch: Vec<PageCommit>) {
        // Transactions lock segments in the order of their ids, so that no two wait for each other.
        batch.sort_by_key(|page| page.advance.segment);
        let mut waiting: Vec<Waiting> = Vec::with_capacity(batch.len());
        let mut works = Vec::with_capacity(batch.len());
        for page in batch {
            works.push(PageWork {
                changes: page.projected.changes,
                advance: page.advance.clone(),
                related: page.related.clone(),
                compare: page.compare.clone(),
            });
            let PageCommit { page, advance, related, compare, reply, .. } = page;
            waiting.push(Waiting { page, advance, related, compare, reply });
        }
        match self.write(works, &waiting).await {
            Ok(written) => {
                for (waiting, written) in waiting.into_iter().zip(written) {
                    let _ = waiting.reply.send(Ok(written));
                }
            }
            Err(error) if error.is_transient() => {
                for waiting in waiting {
                    let _ = waiting.reply.send(Err(error.clone()));
                }
            }
            Err(error) => {
                tracing::debug!(%error, pages = waiting.len(), "a transaction was refused; its pages are written one by one");
                for waiting in waiting {
                    let written = self.alone(&waiting).await;
                    let _ = waiting.reply.send(written);
                }
            }
        }
    }

    /// Writes pages in one transaction, again and again while the database says that this may help.
    async fn write(&self, works: Vec<PageWork>, waiting: &[Waiting]) -> Result<Vec<Written>, StoreError> {
        let mut works = Some(works);
        let mut pause_ms = RETRY_MS.0;
        loop {
            // The transaction took the rows with it; the pages are still there.
            let pages = works.take().unwrap_or_else(|| waiting.iter().map(Waiting::work).collect());
            match self.transact(pages).await {
                Err(error) if error.is_transient() && !*self.stopping.borrow() => {
                    self.metrics.sync_failures.get_or_create(&reason("database")).inc();
                    tracing::warn!(%error, pages = waiting.len(), "pages could not be written; trying again");
                    tokio::time::sleep(Duration::from_millis(pause_ms)).await;
                    pause_ms = (pause_ms * 2).min(RETRY_MS.1);
                }
                result => return result,
            }
        }
    }

    async fn transact(&self, pages: Vec<PageWork>) -> Result<Vec<Written>, StoreError> {
        let policy = Policy { account: self.account.clone(), ..Policy::default() };
        let (written, outcome) = self.store.transact(WritePages { pages, policy, now: self.clock.now() }).await?;
        outcome.count(&self.metrics);
        Ok(written)
    }

    /// Writes one page; when the database refuses it, element by element, so that one bad object holds up no others.
    async fn alone(&self, waiting: &Waiting) -> Result<Written, StoreError> {
        match self.write(vec![waiting.work()], std::slice::from_ref(waiting)).await {
            Ok(written) => return Ok(written.first().copied().unwrap_or(Written::Fenced)),
            Err(error) if error.is_transient() => return Err(error),
            Err(_) => {}
        }
        let mut refused = Vec::new();
        for change in waiting.work().changes {
            let id = change.projected.row.id.clone();
            let work = WriteChange { change, now: self.clock.now() };
            match self.store.transact(work).await {
                Ok(()) => {}
                Err(error) if error.is_transient() => return Err(error),
                Err(error) => {
                    tracing::error!(%error, id, "an object was refused by the database and is left out");
                    refused.push(id);
                }
            }
        }
        self.metrics.sync_failures.get_or_create(&reason("refused_by_database")).inc_by(refused.len() as u64);
        let mut advance = waiting.advance.clone();
        advance.message = format!(
            "the database refused {} objects, among them {}",
            refused.len(),
            refused.first().map_or("", String::as_str)
        );
        let work = PageWork { changes: Vec::new(), advance, related: None, compare: None };
        Ok(self.transact(vec![work]).await?.first().copied().unwrap_or(Written::Fenced))
    }
}

/// What waits, as far as one transaction takes it; `None` when every sender is gone.
async fn next_batch(pages: &mut mpsc::Receiver<PageCommit>, objects_max: usize) -> Option<Vec<PageCommit>> {
    let first = pages.recv().await?;
    let (mut objects, mut bytes) = size(&first);
    let mut batch = vec![first];
    while objects < objects_max && bytes < BYTES_MAX {
        let Ok(next) = pages.try_recv() else { break };
        let (next_objects, next_bytes) = size(&next);
        objects += next_objects;
        bytes += next_bytes;
        batch.push(next);
    }
    Some(batch)
}

pub(super) fn reason(reason: &'static str) -> billhook_core::metrics::Reason {
    billhook_core::metrics::Reason { reason }
}

fn size(page: &PageCommit) -> (usize, usize) {
    (page.projected.changes.len(), page.page.as_ref().map_or(0, |page| page.answer.body.len()))
}

/// A page whose rows are in a transaction.
struct Waiting {
    page: Option<Arc<FetchedPage>>,
    advance: Advance,
    related: Option<Arc<HashSet<String>>>,
    compare: Option<Seen>,
    reply: oneshot::Sender<Result<Written, StoreError>>,
}

impl Waiting {
    fn work(&self) -> PageWork {
        let changes = self.page.as_ref().map(|page| page.project().changes).unwrap_or_default();
        let (advance, related, compare) = (self.advance.clone(), self.related.clone(), self.compare.clone());
        PageWork { changes, advance, related, compare }
    }
}

struct PageWork {
    changes: Vec<Change>,
    advance: Advance,
    related: Option<Arc<HashSet<String>>>,
    compare: Option<Seen>,
}

struct WritePages {
    pages: Vec<PageWork>,
    policy: Policy,
    now: Timestamp,
}

impl Work for WritePages {
    type Output = (Vec<Written>, ApplyOutcome);

    async fn run<T: Transaction>(self, transaction: &mut T) -> Result<Self::Output, StoreError> {
        let mut written = Vec::with_capacity(self.pages.len());
        let (mut plain, mut relating, mut expected) = (Vec::new(), Vec::new(), None);
        for page in self.pages {
            // First, because it says whether the page still counts. One that is fenced off has changed nothing.
            if !transaction.advance_segment(&page.advance).await? {
                written.push(Written::Fenced);
                continue;
            }
            written.push(Written::Committed);
            if let Some(seen) = &page.compare {
                finds::note(transaction, &page.changes, seen, self.now).await?;
            }
            match page.related {
                Some(kinds) => {
                    expected = Some(kinds);
                    relating.extend(page.changes);
                }
                None => plain.extend(page.changes),
            }
        }
        let mut step = Step::new(self.policy, self.now);
        step.changes(transaction, plain).await?;
        step.related = expected.map(Related::new);
        step.changes(transaction, relating).await?;
        step.finish(transaction).await?;
        Ok((written, step.outcome))
    }
}

struct WriteChange {
    change: Change,
    now: Timestamp,
}

impl Work for WriteChange {
    type Output = ();

    async fn run<T: Transaction>(self, transaction: &mut T) -> Result<(), StoreError> {
        let mut step = Step::new(Policy::default(), self.now);
        step.changes(transaction, vec![self.change]).await?;
        step.finish(transaction).await
    }
}
