//! The rolling re-list: kind after kind, everything is read again, to find what no event told.
//!
//! The reading itself is a run like any other (trigger [`RECONCILE`]), which compares before it writes (see `finds`). This file
//! decides which kind is next, and looks for rows that the lists no longer show.

use std::collections::BTreeMap;

use billhook_store::{DirtyMark, RECONCILE, RunSummary, SegmentEnd, StoreError, Transaction, UnseenRow, Work};
use billhook_stripe::catalogue;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::error::EqualError;
use super::event_log::SNAPSHOT_EVENTS;
use super::parts::Parts;
use crate::sync::Window;
use crate::sync::names::Target;
use crate::sync::runs::{self, Request};

/// The setting that remembers when which kind was read.
const SETTING: &str = "reconcile";

/// Rows looked at in one step of the search for unseen ones.
const UNSEEN_ROWS_STEP: usize = 1_000;

/// Rows younger than this, in seconds before the sweep began, count as met: a read is dated before its round trip.
const MARGIN_SECONDS: i64 = 5;

/// Rows marked after one sweep. Each costs a request; rows that are alive and that no list shows (closed reviews) come up again
/// after every sweep, so the next one goes on where this one stopped.
const ABSENT_ROWS_MAX: usize = 1_000;

/// Runs looked at to see whether a kind was read as a whole before.
const RUNS_LOOKED_AT: usize = 500;

/// How the rolling re-list goes.
#[derive(Debug, Clone)]
pub struct ReconcileOptions {
    /// The kinds, each read as a whole.
    pub targets: Vec<Target>,
    /// Each kind is read at most once in this time.
    pub period: SignedDuration,
    /// The account of this installation; empty when it is not configured. Rows of other accounts stand in other lists.
    pub account: String,
}

/// What a step did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stepped {
    /// Nothing is due, or a backfill goes first.
    Idle,
    /// A kind is being read.
    Waiting,
    /// Reading this kind has begun.
    Started(&'static str),
    /// This kind was read, and so many rows that no list showed were marked to be proved.
    Finished {
        /// The kind.
        object: &'static str,
        /// Rows to be proved.
        absent: usize,
    },
}

/// What is remembered of all sweeps.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Memory {
    kinds: BTreeMap<String, Sweep>,
    current: Option<Current>,
}

/// What is remembered of a kind.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Sweep {
    /// When its last sweep began; Unix seconds by our clock.
    began: i64,
    /// When it was first read from end to end; Unix seconds by our clock.
    complete_since: Option<i64>,
    /// Where the search for unseen rows goes on.
    absent_after: String,
}

/// The sweep under way.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Current {
    object: String,
    run: i64,
    began: i64,
    /// The same moment by Stripe's clock: rows that the sweep met are not older.
    stripe_began: i64,
}

/// Does what is next: waits for the sweep under way, or begins one.
///
/// # Errors
/// When Stripe or the database does not answer. The next step goes on from there.
pub async fn step(parts: &Parts, options: &ReconcileOptions) -> Result<Stepped, EqualError> {
    let mut memory = recall(parts).await?;
    if let Some(current) = memory.current.take() {
        let run = parts.store.run(current.run).await?;
        if run.as_ref().is_some_and(|run| run.end.is_none()) {
            return Ok(Stepped::Waiting);
        }
        return finish(parts, options, memory, current, run.as_ref()).await;
    }
    // Somebody waits for those, and they read the same lists.
    if parts.store.list_runs(RUNS_LOOKED_AT, true).await?.iter().any(|run| run.trigger != RECONCILE) {
        return Ok(Stepped::Idle);
    }
    let now = parts.clock.now();
    let Some(target) = next(&options.targets, &memory, now, options.period) else { return Ok(Stepped::Idle) };
    let stripe_began = SNAPSHOT_EVENTS.now(parts).await?;
    let request = Request {
        targets: vec![target],
        window: Window::default(),
        trigger: RECONCILE,
        related: false,
        livemode: parts.api.livemode(),
    };
    let started = runs::start(&parts.store, &request, now).await?;
    if let Some(run) = started.iter().find(|started| started.object == target.object) {
        let (object, run, began) = (target.object.to_owned(), run.run.run(), now.as_second());
        memory.current = Some(Current { object, run, began, stripe_began });
    }
    remember(parts, &memory).await?;
    Ok(Stepped::Started(target.object))
}

/// The kind whose last sweep is longest ago, when that is long enough.
fn next(targets: &[Target], memory: &Memory, now: Timestamp, period: SignedDuration) -> Option<Target> {
    let began = |target: &Target| memory.kinds.get(target.object).map_or(i64::MIN, |sweep| sweep.began);
    let next = *targets.iter().min_by_key(|target| began(target))?;
    (began(&next) <= now.as_second().saturating_sub(period.as_secs())).then_some(next)
}

async fn finish(
    parts: &Parts,
    options: &ReconcileOptions,
    mut memory: Memory,
    current: Current,
    run: Option<&RunSummary>,
) -> Result<Stepped, EqualError> {
    let Some(object) = catalogue::kind_of(&current.object).map(|kind| kind.object) else {
        remember(parts, &memory).await?;
        return Ok(Stepped::Idle);
    };
    let mut sweep = memory.kinds.remove(object).unwrap_or_default();
    sweep.began = current.began;
    let mut absent = 0;
    // A list that was not read to its end says nothing about what it did not show.
    if run.and_then(|run| run.end) == Some(SegmentEnd::Done) {
        absent = mark_absent(parts, options, object, current.stripe_began, &mut sweep.absent_after).await?;
        sweep.complete_since = sweep.complete_since.or(Some(parts.clock.now().as_second()));
    }
    memory.kinds.insert(object.to_owned(), sweep);
    remember(parts, &memory).await?;
    Ok(Stepped::Finished { object, absent })
}

/// Marks rows that the sweep did not meet, so that a read proves whether they are gone. Returns how many.
async fn mark_absent(
    parts: &Parts,
    options: &ReconcileOptions,
    object: &'static str,
    stripe_began: i64,
    after: &mut String,
) -> Result<usize, EqualError> {
    let readable = catalogue::kind_of(object).is_some_and(|kind| kind.retrieve_path.is_some());
    let Some(table) = catalogue::table_of(object).filter(|_| readable) else { return Ok(0) };
    // Due by either clock, and settled by a read that comes now.
    let now = parts.clock.now().min(Timestamp::from_second(stripe_began).unwrap_or(Timestamp::MIN));
    let mut marked = 0;
    while marked < ABSENT_ROWS_MAX {
        let unseen = parts.store.unseen_rows(table, stripe_began - MARGIN_SECONDS, after, UNSEEN_ROWS_STEP).await?;
        let own = |row: &UnseenRow| row.account.is_empty() || row.account == options.account;
        let marks: Vec<DirtyMark> =
            unseen.rows.into_iter().filter(own).map(|row| absent_mark(object, row, now)).collect();
        if !marks.is_empty() {
            marked += marks.len();
            parts.store.transact(Mark(marks)).await?;
        }
        match unseen.next_after {
            Some(next) => *after = next,
            None => {
                after.clear();
                break;
            }
        }
    }
    Ok(marked)
}

fn absent_mark(object: &str, row: UnseenRow, now: Timestamp) -> DirtyMark {
    DirtyMark {
        object: object.to_owned(),
        id: row.id,
        account: row.account,
        reason: "absent".to_owned(),
        event_id: String::new(),
        not_before: now,
    }
}

struct Mark(Vec<DirtyMark>);

impl Work for Mark {
    type Output = ();

    async fn run<T: Transaction>(self, transaction: &mut T) -> Result<(), StoreError> {
        transaction.mark_dirty(&self.0).await
    }
}

/// Since when a kind is known to have been read from end to end. Until then what a read finds missing is news: nobody ever said that
/// it was there.
pub(super) async fn complete_since(parts: &Parts, object: &str) -> Result<Option<Timestamp>, EqualError> {
    let swept = recall(parts).await?.kinds.get(object).and_then(|sweep| sweep.complete_since);
    let swept = swept.and_then(|since| Timestamp::from_second(since).ok());
    let whole = |run: &RunSummary| {
        let of_all = run.object == object && run.created_gte.is_none() && run.created_lt.is_none();
        run.finished_at.filter(|_| of_all && run.end == Some(SegmentEnd::Done))
    };
    let runs = parts.store.list_runs(RUNS_LOOKED_AT, false).await?;
    Ok(runs.iter().filter_map(whole).chain(swept).min())
}

/// What cannot be read begins anew: then every kind is due.
async fn recall(parts: &Parts) -> Result<Memory, EqualError> {
    let text = parts.store.setting(SETTING).await?;
    Ok(text.and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default())
}

async fn remember(parts: &Parts, memory: &Memory) -> Result<(), EqualError> {
    let text = serde_json::to_string(memory).unwrap_or_default();
    Ok(parts.store.write_setting(SETTING, &text).await?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sync::names;

    #[test]
    fn every_kind_has_its_turn_and_then_there_is_a_rest() {
        let (mut memory, period) = (Memory::default(), SignedDuration::from_hours(24));
        let mut now = Timestamp::from_second(1_800_000_000).unwrap();
        let mut seen = Vec::new();
        while let Some(target) = next(&names::everything(), &memory, now, period) {
            assert!(!seen.contains(&target.object), "{} came twice", target.object);
            seen.push(target.object);
            memory.kinds.insert(target.object.to_owned(), Sweep { began: now.as_second(), ..Sweep::default() });
            now = now.checked_add(SignedDuration::from_secs(10)).unwrap();
        }
        assert_eq!(seen.len(), names::everything().len());
        let first = now.checked_add(SignedDuration::from_hours(24)).unwrap();
        assert_eq!(next(&names::everything(), &memory, first, period).map(|target| target.object), Some(seen[0]));
    }

    #[test]
    fn what_is_remembered_survives() {
        let mut memory = Memory::default();
        let sweep = Sweep { began: 5, complete_since: Some(7), absent_after: "cus_1".to_owned() };
        memory.kinds.insert("customer".to_owned(), sweep);
        let text = serde_json::to_string(&memory).unwrap();
        let read: Memory = serde_json::from_str(&text).unwrap();
        assert_eq!((read.kinds["customer"].began, read.kinds["customer"].complete_since), (5, Some(7)));
    }
}
