//! Settles marked objects by reading them: the hook between the ordering law and Stripe's API.
//!
//! The law marks what events cannot decide. Whoever can read objects implements [`ObjectSource`]; [`reread`] takes the marks
//! that are due, reads each object once, and writes what it found under the law.

use std::collections::BTreeMap;
use std::future::Future;

use billhook_core::table::{OnDelete, Table};
use billhook_store::{DirtyMark, Store, StoreError, Transaction, Work};
use billhook_stripe::catalogue;
use billhook_stripe::json::sanitise;
use futures_util::StreamExt;
use jiff::{SignedDuration, Timestamp};

use crate::apply::Step;
use crate::equal::finds;
use crate::interpret::{Change, Policy};
use crate::law::read_version;
use crate::object::Fields;
use crate::projection::{self, CompletedList, Context};
use crate::related;

/// What reading an object gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    /// The object as JSON, and the second of the read by Stripe's clock (`Date` header less the round trip, floored).
    Found {
        /// The object.
        json: String,
        /// Unix seconds.
        read_at: i64,
        /// Embedded lists that the object shows cut off, read to their ends.
        lists: Vec<CompletedList>,
    },
    /// Stripe says that it does not exist.
    Gone {
        /// Unix seconds.
        read_at: i64,
    },
    /// It cannot be read now; the mark stays.
    Later,
    /// It cannot be read at all: the mark goes, because asking again would give the same answer.
    Never(Unreadable),
}

/// Why an object cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unreadable {
    /// Stripe has no request that answers with it.
    NoPath,
    /// The key may not read it.
    NoPermission,
    /// The account has no such product, or Stripe declines the request for good.
    Refused,
}

/// Something that can read objects.
pub trait ObjectSource: Send + Sync {
    /// Reads one object by kind and id, for an account (empty: the account of this installation).
    fn read(&self, object: &str, id: &str, account: &str) -> impl Future<Output = Read> + Send;
}

/// What a round of reading did, in objects.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Reread {
    /// Read, and written or found to be gone.
    pub settled: usize,
    /// Of these, those that Stripe no longer has.
    pub gone: usize,
    /// Not read, because they had arrived meanwhile by another way.
    pub arrived: usize,
    /// Put off: they could not be read now.
    pub postponed: usize,
    /// Given up: they cannot be read.
    pub dropped: usize,
}

impl Reread {
    /// Marks that are no longer due.
    pub fn done(&self) -> usize {
        self.settled + self.arrived + self.postponed + self.dropped
    }
}

/// Reads at the same time: enough to hide a round trip of 200 ms within the default rate.
const READS_IN_FLIGHT: usize = 8;

/// Objects written in one transaction.
const WRITTEN_AT_ONCE: usize = 32;

/// How long an object that could not be read is put off, in seconds.
const LATER_SECONDS: i64 = 30;

/// Reads every object whose mark is due, at most `limit`.
///
/// A mark that asks for a read later than the one that was made stays: its second was not over by Stripe's clock.
///
/// # Errors
/// When the database fails; marks that were not settled stay.
pub async fn reread(
    store: &Store,
    source: &impl ObjectSource,
    policy: &Policy,
    now: Timestamp,
    limit: usize,
) -> Result<Reread, StoreError> {
    // An object may be marked for several reasons; one read settles them all.
    let (related, others): (Vec<_>, Vec<_>) =
        store.due_dirty(now, limit).await?.into_iter().partition(|mark| mark.reason == related::REASON);
    let mut marks: BTreeMap<(String, String), DirtyMark> = others.into_iter().map(|mark| (key(&mark), mark)).collect();
    let mut outcome = Reread::default();
    if !related.is_empty() {
        let looked_at = related.len();
        let missing = store.transact(related::StillMissing(related)).await?;
        outcome.arrived += looked_at - missing.len();
        for mark in missing {
            marks.entry(key(&mark)).or_insert(mark);
        }
    }
    let reads = futures_util::stream::iter(marks.into_values()).map(|mark| async move {
        let read = source.read(&mark.object, &mark.id, &mark.account).await;
        (mark, read)
    });
    let mut reads = reads.buffer_unordered(READS_IN_FLIGHT).ready_chunks(WRITTEN_AT_ONCE);
    while let Some(reads) = reads.next().await {
        let later: Vec<(String, String)> =
            reads.iter().filter(|(_, read)| *read == Read::Later).map(|(mark, _)| key(mark)).collect();
        for (_, read) in &reads {
            match read {
                Read::Found { .. } => outcome.settled += 1,
                Read::Gone { .. } => {
                    outcome.settled += 1;
                    outcome.gone += 1;
                }
                Read::Later => outcome.postponed += 1,
                Read::Never(_) => outcome.dropped += 1,
            }
        }
        store.transact(Settle { reads, policy: policy.clone(), now }).await?;
        if !later.is_empty() {
            let until = now.saturating_add(SignedDuration::from_secs(LATER_SECONDS)).unwrap_or(now);
            store.postpone_dirty(&later, until).await?;
        }
    }
    Ok(outcome)
}

fn key(mark: &DirtyMark) -> (String, String) {
    (mark.object.clone(), mark.id.clone())
}

/// Writes what was read, and removes the marks it settles.
pub(crate) struct Settle {
    pub(crate) reads: Vec<(DirtyMark, Read)>,
    pub(crate) policy: Policy,
    pub(crate) now: Timestamp,
}

impl Work for Settle {
    type Output = ();

    async fn run<T: Transaction>(self, transaction: &mut T) -> Result<(), StoreError> {
        let Self { reads, policy, now } = self;
        let mut step = Step::new(policy, now);
        let mut changes = Vec::new();
        let mut settled = Vec::new();
        for (mark, read) in reads {
            let table = catalogue::table_of(&mark.object).unwrap_or_else(catalogue::other_objects);
            match read {
                Read::Found { json, read_at, lists } => {
                    changes.extend(change(table, &mark, &json, read_at, &lists));
                    settled.push((key(&mark), read_at));
                }
                Read::Gone { read_at } => {
                    if table.on_delete == OnDelete::Keep {
                        remove(transaction, table, &mark.id, read_at, now).await?;
                    } else {
                        changes.extend(change(table, &mark, &stub(&mark), read_at, &[]));
                    }
                    settled.push((key(&mark), read_at));
                }
                Read::Later => {}
                Read::Never(_) => settled.push((key(&mark), i64::MAX)),
            }
        }
        // First the marks: what the law marks anew below is meant to stay.
        clear(transaction, settled).await?;
        for change in changes.iter().filter(|change| change.deletes) {
            let row = &change.projected.row;
            finds::note_gone(transaction, change.table, &row.id, row.version, now).await?;
        }
        step.changes(transaction, changes).await?;
        step.finish(transaction).await
    }
}

/// A mark of a second is settled by a read of the next one; [`crate::interpret::read_after`] adds one more.
const SETTLED_BEFORE_SECONDS: i64 = 1;

/// Removes marks whose second was over by Stripe's clock when their object was read.
async fn clear<T: Transaction>(transaction: &mut T, settled: Vec<((String, String), i64)>) -> Result<(), StoreError> {
    let mut by_time: BTreeMap<i64, Vec<(String, String)>> = BTreeMap::new();
    for (object, read_at) in settled {
        by_time.entry(read_at).or_default().push(object);
    }
    for (read_at, objects) in by_time {
        let until = read_at.saturating_add(SETTLED_BEFORE_SECONDS);
        let until = Timestamp::from_second(until).unwrap_or(Timestamp::MAX);
        transaction.clear_dirty(&objects, until).await?;
    }
    Ok(())
}

/// Objects of these kinds cannot be deleted at Stripe one by one; they vanish with a test clock, or with all test data.
async fn remove<T: Transaction>(
    transaction: &mut T,
    table: &'static Table,
    id: &str,
    read_at: i64,
    now: Timestamp,
) -> Result<(), StoreError> {
    finds::note_gone(transaction, table, id, read_version(read_at), now).await?;
    let ids = [id.to_owned()];
    let state = transaction.row_states(table, &ids).await?.pop().flatten();
    if state.is_some_and(|state| state.version <= read_version(read_at)) {
        transaction.delete_rows(table, &ids).await?;
    }
    Ok(())
}

/// What Stripe answers for a deleted object of a kind whose deletions leave a stub.
fn stub(mark: &DirtyMark) -> String {
    serde_json::json!({ "id": mark.id, "object": mark.object, "deleted": true }).to_string()
}

fn change(
    table: &'static Table,
    mark: &DirtyMark,
    json: &str,
    read_at: i64,
    lists: &[CompletedList],
) -> Option<Change> {
    let sanitised = sanitise(json).ok()?;
    let fields = Fields::parse(&sanitised.text)?;
    let deletes = table.on_delete != OnDelete::Keep && says_deleted(&fields);
    let context = Context {
        account: &mark.account,
        version: read_version(read_at),
        source_event: "",
        revives: !deletes,
        deletes,
        parent: None,
    };
    let mut projected = projection::project_fields(table, &sanitised.text, &fields, &context).ok()?;
    projection::complete_lists(table, &fields, &context, lists, &mut projected);
    // Whoever read the object went as far as it could: marking it again would ask the same question without end.
    projected.lists.iter_mut().for_each(|list| list.truncated = false);
    Some(Change { table, projected, deletes })
}

/// Whether Stripe says that the object is deleted: `{"id": …, "deleted": true}`.
pub(crate) fn says_deleted(fields: &Fields<'_>) -> bool {
    fields.get("deleted").is_some_and(|deleted| deleted.get() == "true")
}
