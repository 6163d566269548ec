//! The ordering law at work: one transaction that turns a batch of deliveries into rows.
//!
//! Between seconds the upsert's own guard decides, in the database. What the guard turned away is looked at again here: it is
//! stale, waits behind a tombstone, or shares the deciding second (see [`crate::law`]).

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use billhook_core::metrics::{Metrics, TableName};
use billhook_core::row::Row;
use billhook_core::table::{OnDelete, Table};
use billhook_store::{DirtyMark, Guard, QuarantineEntry, RowState, StoreError, Tombstone, Transaction, Work};
use billhook_stripe::catalogue;
use jiff::Timestamp;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;

use crate::children::Families;
use crate::interpret::{Change, Interpreted, Meaning, Policy, read_after};
use crate::losers;
use crate::quarantine::Reason;
use crate::related::Related;
use crate::route::{self, Router};

/// A batch of deliveries to apply in one transaction.
#[derive(Debug)]
pub struct ApplyBatch {
    /// The deliveries with their meanings.
    pub deliveries: Vec<Interpreted>,
    /// What this database takes, for reading other events of a tied second.
    pub policy: Policy,
    /// What events start; `None` when there are no functions.
    pub router: Option<Arc<dyn Router>>,
    /// Now, for the quarantine.
    pub now: Timestamp,
}

/// What a batch did.
#[derive(Debug, Default, Clone)]
pub struct ApplyOutcome {
    /// Deliveries that took effect in this transaction: when each was received.
    pub applied: Vec<Timestamp>,
    /// Rows written, by position of the table.
    pub rows_written: HashMap<usize, u64>,
    /// States that were older than the mirror, by position of the table.
    pub stale: HashMap<usize, u64>,
    /// Ties that the evidence decided.
    pub ties_decided: u64,
    /// Ties that need a read.
    pub ties_dirty: u64,
    /// Deliveries set aside.
    pub quarantined: Vec<Reason>,
    /// Fields that did not fit, by position of the table.
    pub mismatches: HashMap<usize, u64>,
    /// Runs of functions that were started, woken or called off.
    pub runs_moved: u64,
}

impl ApplyOutcome {
    /// Counts the rows.
    pub(crate) fn count(&self, metrics: &Metrics) {
        let tables = catalogue::tables();
        let count = |family: &Family<TableName, Counter>, counts: &HashMap<usize, u64>| {
            for (&table, &count) in counts {
                family.get_or_create(&TableName { table: &tables[table].name }).inc_by(count);
            }
        };
        count(&metrics.rows_written, &self.rows_written);
        count(&metrics.stale_ignored, &self.stale);
        count(&metrics.field_mismatches, &self.mismatches);
    }
}

impl Work for ApplyBatch {
    type Output = ApplyOutcome;

    async fn run<T: Transaction>(self, transaction: &mut T) -> Result<ApplyOutcome, StoreError> {
        let sequences: Vec<i64> = self.deliveries.iter().map(|delivery| delivery.sequence).collect();
        let claimed: HashSet<i64> = transaction.claim(&sequences).await?.into_iter().collect();
        let mut step = Step::new(self.policy, self.now);
        let mut queue = Vec::new();
        let mut thin = Vec::new();
        let mut shown = Vec::new();
        let mut settled = Vec::new();
        let mut doubted = Vec::new();
        let mut routed = Vec::new();
        for delivery in self.deliveries.into_iter().filter(|delivery| claimed.contains(&delivery.sequence)) {
            step.outcome.applied.push(delivery.received_at);
            if let Some((reason, detail)) = delivery.shown {
                step.outcome.quarantined.push(reason);
                shown.push(QuarantineEntry {
                    sequence: delivery.sequence,
                    reason: reason.name(),
                    detail,
                    applied: reason.is_applied(),
                    at: step.now,
                });
            }
            doubted.extend(delivery.doubt);
            routed.extend(delivery.routed);
            match delivery.meaning {
                Meaning::Change(change) => {
                    settled.push(delivery.event_id);
                    queue.push(*change);
                }
                Meaning::Thin(mark) => thin.push(mark),
                Meaning::NoRow | Meaning::Refused => {}
            }
        }
        if !shown.is_empty() {
            transaction.quarantine(&shown).await?;
        }
        step.changes(transaction, queue).await?;
        step.finish(transaction).await?;
        thin_events(transaction, thin).await?;
        if !settled.is_empty() {
            // After the thin events, so that a snapshot settles a thin twin of its own batch too.
            transaction.clear_dirty_of_events(&settled).await?;
        }
        if !doubted.is_empty() {
            transaction.mark_dirty(&doubted).await?;
        }
        if let Some(router) = self.router.as_deref().filter(|_| !routed.is_empty()) {
            step.outcome.runs_moved = route::publish(transaction, router, routed).await?;
        }
        Ok(step.outcome)
    }
}

/// Marks the objects of thin events, except where the snapshot of the same change has arrived already.
async fn thin_events<T: Transaction>(transaction: &mut T, marks: Vec<DirtyMark>) -> Result<(), StoreError> {
    if marks.is_empty() {
        return Ok(());
    }
    let twins: Vec<String> = distinct(marks.iter().map(|mark| mark.event_id.clone()).filter(|id| !id.is_empty()));
    let known = transaction.known_events(&twins).await?;
    let marks: Vec<DirtyMark> = marks.into_iter().filter(|mark| !known.contains(&mark.event_id)).collect();
    transaction.mark_dirty(&marks).await
}

/// Values without repetition, sorted.
pub(crate) fn distinct<V: Ord>(values: impl Iterator<Item = V>) -> Vec<V> {
    let mut values: Vec<V> = values.collect();
    values.sort_unstable();
    values.dedup();
    values
}

/// The state of one transaction.
pub(crate) struct Step {
    pub(crate) policy: Policy,
    pub(crate) now: Timestamp,
    pub(crate) outcome: ApplyOutcome,
    pub(crate) families: Families,
    /// What the written rows refer to, when that is wanted.
    pub(crate) related: Option<Related>,
    /// Ids of the rows that were written, by position of the table.
    written: BTreeMap<usize, Vec<String>>,
}

impl Step {
    pub(crate) fn new(policy: Policy, now: Timestamp) -> Self {
        let (outcome, families, written) = Default::default();
        let related = policy.reads.as_ref().filter(|reads| reads.related).map(|_| Related::default());
        Self { policy, now, outcome, families, related, written }
    }

    /// Applies changes in rounds, so that no statement meets an object twice: a round takes the earliest change of each.
    pub(crate) async fn changes<T: Transaction>(
        &mut self,
        transaction: &mut T,
        mut queue: Vec<Change>,
    ) -> Result<(), StoreError> {
        for change in &queue {
            for &table in &change.projected.mismatches {
                *self.outcome.mismatches.entry(table).or_default() += 1;
            }
        }
        queue.sort_by_key(|change| change.projected.row.version);
        while !queue.is_empty() {
            let mut round: BTreeMap<usize, Vec<Change>> = BTreeMap::new();
            let mut taken: HashSet<(usize, String)> = HashSet::new();
            let mut later = Vec::new();
            for change in queue {
                if taken.insert((change.table.index, change.projected.row.id.clone())) {
                    round.entry(change.table.index).or_default().push(change);
                } else {
                    later.push(change);
                }
            }
            for changes in round.into_values() {
                self.round(transaction, changes).await?;
            }
            queue = later;
        }
        Ok(())
    }

    /// Writes the changes of one table, each of another object.
    async fn round<T: Transaction>(&mut self, transaction: &mut T, changes: Vec<Change>) -> Result<(), StoreError> {
        let table = changes[0].table;
        let mut winners = Vec::new();
        let mut losers = Vec::new();
        let (mut facts, rows): (Vec<Facts>, Vec<Row>) = changes.into_iter().map(Facts::split).unzip();
        read_bases(transaction, table, &mut facts, &rows).await?;
        let written = transaction.upsert(table, &rows, Guard::Newer).await?;
        for ((facts, row), written) in facts.into_iter().zip(rows).zip(written) {
            if written { winners.push((facts, row)) } else { losers.push((facts, row)) }
        }
        self.won(transaction, table, winners).await?;
        if !losers.is_empty() {
            losers::settle(self, transaction, table, losers).await?;
        }
        Ok(())
    }

    /// What follows when states became the stored ones: tombstones, revivals, children.
    pub(crate) async fn won<T: Transaction>(
        &mut self,
        transaction: &mut T,
        table: &'static Table,
        winners: Vec<(Facts, Row)>,
    ) -> Result<(), StoreError> {
        if winners.is_empty() {
            return Ok(());
        }
        *self.outcome.rows_written.entry(table.index).or_default() += winners.len() as u64;
        if table.on_delete != OnDelete::Keep {
            self.tombstones(transaction, table, &winners).await?;
        }
        let written = self.written.entry(table.index).or_default();
        for (facts, row) in winners {
            written.push(row.id.clone());
            if let Some(related) = &mut self.related {
                related.add(&row);
            }
            self.families.add(table, &row, facts.lists);
        }
        Ok(())
    }

    async fn tombstones<T: Transaction>(
        &mut self,
        transaction: &mut T,
        table: &'static Table,
        winners: &[(Facts, Row)],
    ) -> Result<(), StoreError> {
        let ids = |wanted: fn(&(Facts, Row)) -> bool| -> Vec<String> {
            winners.iter().filter(|winner| wanted(winner)).map(|(_, row)| row.id.clone()).collect()
        };
        let deleted = ids(|(facts, _)| facts.deletes);
        if !deleted.is_empty() {
            let mut stones = Vec::new();
            for (facts, row) in winners.iter().filter(|(facts, _)| facts.deletes) {
                stones.push((row.id.clone(), facts.tombstone(row)));
            }
            transaction.bury(table, &stones).await?;
            if table.on_delete == OnDelete::Remove {
                transaction.delete_rows(table, &deleted).await?;
            }
        }
        let revived = ids(|(facts, row)| !facts.deletes && row.revives);
        if !revived.is_empty() {
            self.revive(transaction, table, &revived).await?;
        }
        let living = ids(|(facts, row)| !facts.deletes && !row.revives);
        if !living.is_empty() && table.on_delete == OnDelete::Remove {
            transaction.delete_buried(table, &living).await?;
        }
        Ok(())
    }

    /// An object was created again: its tombstone goes, and the events that waited behind it are applied anew.
    async fn revive<T: Transaction>(
        &mut self,
        transaction: &mut T,
        table: &'static Table,
        ids: &[String],
    ) -> Result<(), StoreError> {
        let stones = transaction.tombstones(table, ids).await?;
        let risen: Vec<String> =
            ids.iter().zip(stones).filter(|(_, stone)| stone.is_some()).map(|(id, _)| id.clone()).collect();
        if risen.is_empty() {
            return Ok(());
        }
        transaction.unbury(table, &risen).await?;
        let waiting = transaction.contenders(table, &risen).await?;
        let events = distinct(waiting.into_iter().map(|contender| contender.event_id));
        if !events.is_empty() {
            transaction.release(&events).await?;
        }
        Ok(())
    }

    /// Children, links between tables, and marks, once all parents are settled.
    pub(crate) async fn finish<T: Transaction>(&mut self, transaction: &mut T) -> Result<(), StoreError> {
        let families = std::mem::take(&mut self.families);
        families.write(transaction, &mut self.outcome, &mut self.written).await?;
        let tables = catalogue::tables();
        for (&table, ids) in &self.written {
            transaction.link(&tables[table], &distinct(ids.iter().cloned())).await?;
        }
        match self.related.take() {
            Some(related) => related.mark(transaction).await,
            None => Ok(()),
        }
    }
}

/// Notes for each stub which state it leaves visible, so that an older event that arrives later can still fill the columns.
async fn read_bases<T: Transaction>(
    transaction: &mut T,
    table: &'static Table,
    facts: &mut [Facts],
    rows: &[Row],
) -> Result<(), StoreError> {
    let stubs: Vec<usize> = (0..rows.len()).filter(|&position| rows[position].stub).collect();
    if stubs.is_empty() {
        return Ok(());
    }
    let ids: Vec<String> = stubs.iter().map(|&position| rows[position].id.clone()).collect();
    let states = transaction.row_states(table, &ids).await?;
    for (position, state) in stubs.into_iter().zip(states) {
        facts[position].base_time = Some(state.map_or(i64::MIN, |state| state.version.time));
    }
    Ok(())
}

/// What is known of a change besides its row.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) deletes: bool,
    /// For a stub: Unix seconds of the state that its other columns go on showing; `i64::MIN` when there is none.
    pub(crate) base_time: Option<i64>,
    pub(crate) lists: Vec<crate::projection::ProjectedList>,
}

impl Facts {
    pub(crate) fn split(change: Change) -> (Self, Row) {
        let facts = Self { deletes: change.deletes, base_time: None, lists: change.projected.lists };
        (facts, change.projected.row)
    }

    fn tombstone(&self, row: &Row) -> Tombstone {
        Tombstone { time: row.version.time, source_event: row.source_event.clone(), base_time: self.base_time }
    }
}

/// A mark for an object that only a read can settle.
pub(crate) fn dirty(table: &Table, row: &Row, reason: &str) -> DirtyMark {
    DirtyMark {
        object: table.object.clone(),
        id: row.id.clone(),
        account: row.account.clone(),
        reason: reason.to_owned(),
        event_id: String::new(),
        not_before: read_after(row.version.time),
    }
}

/// Whether a stored row is what this very event wrote, as after a replay.
pub(crate) fn is_own(state: &RowState, row: &Row) -> bool {
    state.version == row.version && state.source_event == row.source_event && !row.source_event.is_empty()
}
