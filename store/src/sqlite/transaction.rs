//! The operations of a write transaction, as the writer thread runs them. None of them ever waits.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use billhook_core::row::Row;
use billhook_core::table::{Orphans, Table};
use rusqlite::Connection;

use super::errors::refused;
use super::statements::Statements;
use super::{attention, children, drift, flow_upkeep, history, inbox, link, publish, segments, upsert};
use crate::{
    Advance, CompleteList, Contender, DirtyMark, DriftFind, EventName, Guard, Publication, Published, QuarantineEntry,
    RowState, StoreError, StoredDelivery, Tombstone, Transaction, WaitMatcher, Work,
};

/// An open write transaction of the writer thread.
pub(super) struct SqliteTransaction<'writer> {
    connection: &'writer mut Connection,
    statements: &'writer Statements,
}

impl<'writer> SqliteTransaction<'writer> {
    pub(super) fn new(connection: &'writer mut Connection, statements: &'writer Statements) -> Self {
        Self { connection, statements }
    }

    /// The connection, inside the transaction.
    pub(super) fn connection(&self) -> &Connection {
        self.connection
    }

    /// Runs work to its end. Its operations complete at once, so its future must too.
    pub(super) fn run_to_end<W: Work>(&mut self, work: W) -> Result<W::Output, StoreError> {
        let future = pin!(work.run(self));
        match future.poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(result) => result,
            Poll::Pending => Err(StoreError::Refused {
                operation: "a transaction",
                message: "work on SQLite must wait for nothing but the transaction's own operations".to_owned(),
            }),
        }
    }
}

impl Transaction for SqliteTransaction<'_> {
    async fn claim(&mut self, sequences: &[i64]) -> Result<Vec<i64>, StoreError> {
        inbox::claim(self.connection, sequences).map_err(refused("claiming deliveries"))
    }

    async fn release(&mut self, event_ids: &[String]) -> Result<(), StoreError> {
        inbox::release(self.connection, event_ids).map(|_found| ()).map_err(refused("releasing deliveries"))
    }

    async fn upsert(&mut self, table: &'static Table, rows: &[Row], guard: Guard) -> Result<Vec<bool>, StoreError> {
        upsert::upsert(self.connection, self.statements, table, rows, guard)
    }

    async fn row_states(&mut self, table: &'static Table, ids: &[String]) -> Result<Vec<Option<RowState>>, StoreError> {
        history::row_states(self.connection, table, ids).map_err(refused("reading versions"))
    }

    async fn tombstones(
        &mut self,
        table: &'static Table,
        ids: &[String],
    ) -> Result<Vec<Option<Tombstone>>, StoreError> {
        history::tombstones(self.connection, table, ids).map_err(refused("reading tombstones"))
    }

    async fn bury(&mut self, table: &'static Table, tombstones: &[(String, Tombstone)]) -> Result<(), StoreError> {
        history::bury(self.connection, table, tombstones).map_err(refused("writing tombstones"))
    }

    async fn unbury(&mut self, table: &'static Table, ids: &[String]) -> Result<(), StoreError> {
        history::unbury(self.connection, table, ids).map_err(refused("removing tombstones"))
    }

    async fn delete_rows(&mut self, table: &'static Table, ids: &[String]) -> Result<(), StoreError> {
        history::delete_rows(self.connection, table, ids).map_err(refused("removing rows"))
    }

    async fn delete_buried(&mut self, table: &'static Table, ids: &[String]) -> Result<(), StoreError> {
        history::delete_buried(self.connection, table, ids).map_err(refused("removing buried rows"))
    }

    async fn contenders(&mut self, table: &'static Table, ids: &[String]) -> Result<Vec<Contender>, StoreError> {
        history::contenders(self.connection, table, ids).map_err(refused("reading contenders"))
    }

    async fn add_contenders(&mut self, contenders: &[Contender]) -> Result<(), StoreError> {
        for contender in contenders {
            let table = self.statements.table(contender.table)?;
            history::add_contender(self.connection, table, contender).map_err(refused("writing contenders"))?;
        }
        Ok(())
    }

    async fn forget_contenders(&mut self, table: &'static Table, before: &[(String, i64)]) -> Result<(), StoreError> {
        history::forget_contenders(self.connection, table, before).map_err(refused("removing contenders"))
    }

    async fn events(&mut self, event_ids: &[String]) -> Result<Vec<StoredDelivery>, StoreError> {
        inbox::by_event_ids(self.connection, event_ids).map_err(refused("reading deliveries"))
    }

    async fn known_events(&mut self, event_ids: &[String]) -> Result<Vec<String>, StoreError> {
        inbox::known(self.connection, event_ids).map_err(refused("looking for deliveries"))
    }

    async fn prune_children(
        &mut self,
        table: &'static Table,
        parent_column: usize,
        orphans: Orphans,
        lists: &[CompleteList],
    ) -> Result<(), StoreError> {
        children::prune(self.connection, table, parent_column, orphans, lists)
    }

    async fn link(&mut self, table: &'static Table, ids: &[String]) -> Result<(), StoreError> {
        if !self.statements.links() {
            return Ok(());
        }
        link::link(self.connection, table, ids).map_err(refused("linking rows"))
    }

    async fn mark_dirty(&mut self, marks: &[DirtyMark]) -> Result<(), StoreError> {
        attention::mark_dirty(self.connection, marks).map_err(refused("marking objects"))
    }

    async fn attend(&mut self, names: &[EventName]) -> Result<Vec<(String, String)>, StoreError> {
        publish::attend(self.connection, names).map_err(refused("looking for waits"))
    }

    async fn publish(
        &mut self,
        publications: &[Publication],
        paths: &[(String, String)],
        matcher: &dyn WaitMatcher,
        now: jiff::Timestamp,
    ) -> Result<Vec<Published>, StoreError> {
        publish::publish(self.connection, publications, paths, matcher, now).map_err(refused("publishing events"))
    }

    async fn take_flow_cron(
        &mut self,
        function: &str,
        schedule: &str,
        last: jiff::Timestamp,
        to: jiff::Timestamp,
    ) -> Result<bool, StoreError> {
        flow_upkeep::take_cron(self.connection, function, schedule, last, to).map_err(refused("moving a schedule on"))
    }

    async fn take_ended_flow_runs(&mut self, runs: &[String]) -> Result<Vec<String>, StoreError> {
        flow_upkeep::take_ended(self.connection, runs).map_err(refused("taking ended runs"))
    }

    async fn fail_parked_flow_run(&mut self, run: &str, now: jiff::Timestamp) -> Result<bool, StoreError> {
        flow_upkeep::fail_parked(self.connection, run, now).map_err(refused("failing a parked run"))
    }

    async fn take_flow_events(&mut self, keys: &[String], now: jiff::Timestamp) -> Result<Vec<String>, StoreError> {
        publish::take(self.connection, keys, now).map_err(refused("taking scheduled events"))
    }

    async fn unmark_dirty(&mut self, marks: &[DirtyMark]) -> Result<(), StoreError> {
        attention::unmark_dirty(self.connection, marks).map_err(refused("removing marks"))
    }

    async fn clear_dirty(&mut self, objects: &[(String, String)], until: jiff::Timestamp) -> Result<(), StoreError> {
        attention::clear_dirty(self.connection, objects, until).map_err(refused("clearing marks"))
    }

    async fn clear_dirty_of_events(&mut self, event_ids: &[String]) -> Result<(), StoreError> {
        attention::clear_dirty_of_events(self.connection, event_ids).map_err(refused("clearing marks"))
    }

    async fn quarantine(&mut self, entries: &[QuarantineEntry]) -> Result<(), StoreError> {
        attention::quarantine(self.connection, entries).map_err(refused("setting deliveries aside"))
    }

    async fn advance_segment(&mut self, advance: &Advance) -> Result<bool, StoreError> {
        segments::advance(self.connection, advance).map_err(refused("advancing a segment"))
    }

    async fn missing_rows(&mut self, table: &'static Table, ids: &[String]) -> Result<Vec<String>, StoreError> {
        history::missing(self.connection, table, ids).map_err(refused("looking for rows"))
    }

    async fn note_drift(&mut self, finds: &[DriftFind]) -> Result<(), StoreError> {
        drift::note(self.connection, finds).map_err(refused("noting drift"))
    }
}
