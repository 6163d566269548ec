//! The write transaction of the applier.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use billhook_core::row::Row;
use billhook_core::table::{Orphans, Table};

use super::control::Freed;
use super::encode::Array;
use super::inbox::stored_delivery;
use super::row_parameters::{RowParameters, are_in_raw, check_shape};
use super::rows::version;
use super::session::{Parameters, Patience, Session};
use super::table_sql::{Statement, asks_for_tombstones};
use super::{Shared, column, drift, publish, segments, statements};
use crate::{
    Advance, CompleteList, Contender, DirtyMark, DriftFind, EventName, Guard, Publication, Published, QuarantineEntry,
    RowState, StoreError, StoredDelivery, Tombstone, Transaction, WaitMatcher,
};

/// The lock timeout lets an application's `LOCK TABLE` delay the applier but never hang it: the batch is tried again.
///
/// Every statement of the law finds its rows by an index, some hundred at a time. The planner does not know that: a plan made
/// while a table was small reads all of it for every batch from then on, and planning an upsert of 90 columns anew costs as
/// much as running it.
const BEGIN: &str = "BEGIN; SET LOCAL lock_timeout = '3s'; SET LOCAL enable_seqscan = off; \
                     SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; SET LOCAL jit = off; \
                     SET LOCAL plan_cache_mode = force_generic_plan";

/// For SQL that is not ours: the planner decides.
const BEGIN_PLAIN: &str = "BEGIN; SET LOCAL lock_timeout = '3s'";

/// A transaction on one connection. Dropped without commit, it closes the connection and so rolls back.
pub(super) struct PostgresTransaction {
    pub(super) session: Session,
    shared: Arc<Shared>,
    /// A statement failed, so the server will only roll back: COMMIT would do that too and report success.
    pub(super) failed: bool,
}

impl PostgresTransaction {
    pub(super) async fn begin(shared: &Arc<Shared>) -> Result<Self, StoreError> {
        Self::begin_by(shared, BEGIN).await
    }

    /// A transaction for the user's own statements.
    pub(super) async fn begin_plain(shared: &Arc<Shared>) -> Result<Self, StoreError> {
        Self::begin_by(shared, BEGIN_PLAIN).await
    }

    async fn begin_by(shared: &Arc<Shared>, begin: &str) -> Result<Self, StoreError> {
        let session = Session::take(&shared.pool, Patience::Answer).await?;
        session.batch("beginning a transaction", begin).await?;
        Ok(Self { session, shared: Arc::clone(shared), failed: false })
    }

    pub(super) async fn commit(mut self) -> Result<(), StoreError> {
        if self.failed {
            self.roll_back().await;
            return Err(StoreError::Refused {
                operation: "the commit",
                message: "a statement of the transaction had failed before".to_owned(),
            });
        }
        self.session.renew(Patience::Answer);
        self.session.batch("the commit", "COMMIT").await?;
        self.session.give_back();
        Ok(())
    }

    /// Gives the connection back when the server confirms; otherwise it is closed, which rolls back as well.
    pub(super) async fn roll_back(mut self) {
        self.session.renew(Patience::Answer);
        if self.session.is_broken() {
            return;
        }
        if self.session.batch("the rollback", "ROLLBACK").await.is_ok() {
            self.session.give_back();
        }
    }

    /// Commits what was done, or takes it back when it failed.
    pub(super) async fn settle<T>(self, outcome: Result<T, StoreError>) -> Result<T, StoreError> {
        match outcome {
            Ok(value) => self.commit().await.map(|()| value),
            Err(error) => {
                self.roll_back().await;
                Err(error)
            }
        }
    }

    pub(super) async fn query(
        &mut self,
        operation: &'static str,
        sql: &str,
        parameters: Parameters<'_>,
    ) -> Result<Vec<tokio_postgres::Row>, StoreError> {
        self.session.renew(Patience::Answer);
        let result = self.session.query(operation, sql, parameters).await;
        self.failed |= result.is_err();
        result
    }

    pub(super) async fn execute(
        &mut self,
        operation: &'static str,
        sql: &str,
        parameters: Parameters<'_>,
    ) -> Result<u64, StoreError> {
        self.session.renew(Patience::Answer);
        let result = self.session.execute(operation, sql, parameters).await;
        self.failed |= result.is_err();
        result
    }

    /// Writes rows that are all stubs or all none; returns the ids of those that were written.
    async fn upsert_alike(
        &mut self,
        table: &'static Table,
        rows: &[&Row],
        guard: Guard,
        stub: bool,
        written: &mut HashSet<String>,
    ) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        let from_raw = are_in_raw(table, rows);
        let sql = self.shared.table_sql(table, Statement::Upsert { guard, stub, from_raw })?;
        let parameters = RowParameters::upsert(table, rows, asks_for_tombstones(table, guard), from_raw);
        for row in &self.query("writing rows", &sql, &parameters.as_parameters()).await? {
            written.insert(column(row, 0)?);
        }
        Ok(())
    }

    fn table_name(&self, at: usize) -> Result<&'static str, StoreError> {
        self.shared
            .tables
            .get(at)
            .map(|table| table.name.as_str())
            .ok_or_else(|| StoreError::Configuration(format!("the catalogue has no table number {at}")))
    }
}

impl Transaction for PostgresTransaction {
    async fn claim(&mut self, sequences: &[i64]) -> Result<Vec<i64>, StoreError> {
        let rows = self.query("claiming deliveries", statements::DELIVERIES_CLAIM, &[&sequences]).await?;
        let mut claimed = rows.iter().map(|row| column(row, 0)).collect::<Result<Vec<i64>, _>>()?;
        claimed.sort_unstable();
        Ok(claimed)
    }

    async fn release(&mut self, event_ids: &[String]) -> Result<(), StoreError> {
        self.query("putting deliveries back", statements::DELIVERIES_RELEASE, &[&event_ids]).await?;
        Ok(())
    }

    async fn upsert(&mut self, table: &'static Table, rows: &[Row], guard: Guard) -> Result<Vec<bool>, StoreError> {
        check_shape(table, rows)?;
        // One order on every node, whatever the database's collation: the server takes the row locks in the order of the rows.
        let mut sorted: Vec<&Row> = rows.iter().collect();
        sorted.sort_by(|one, other| one.id.cmp(&other.id));
        let (stubs, full): (Vec<&Row>, Vec<&Row>) = sorted.into_iter().partition(|row| row.stub);
        let mut written = HashSet::with_capacity(rows.len());
        self.upsert_alike(table, &full, guard, false, &mut written).await?;
        self.upsert_alike(table, &stubs, guard, true, &mut written).await?;
        Ok(rows.iter().map(|row| written.contains(&row.id)).collect())
    }

    async fn row_states(&mut self, table: &'static Table, ids: &[String]) -> Result<Vec<Option<RowState>>, StoreError> {
        let sql = self.shared.table_sql(table, Statement::States)?;
        let mut found = HashMap::with_capacity(ids.len());
        for row in &self.query("locking rows", &sql, &[&ids]).await? {
            let state = RowState { version: version(row, 1, 2)?, source_event: column(row, 3)?, raw: column(row, 4)? };
            found.insert(column::<String>(row, 0)?, state);
        }
        Ok(ids.iter().map(|id| found.remove(id)).collect())
    }

    async fn tombstones(
        &mut self,
        table: &'static Table,
        ids: &[String],
    ) -> Result<Vec<Option<Tombstone>>, StoreError> {
        let mut found = HashMap::new();
        for row in &self.query("reading tombstones", statements::TOMBSTONES_READ, &[&table.name, &ids]).await? {
            let tombstone =
                Tombstone { time: column(row, 1)?, source_event: column(row, 2)?, base_time: column(row, 3)? };
            found.insert(column::<String>(row, 0)?, tombstone);
        }
        Ok(ids.iter().map(|id| found.remove(id)).collect())
    }

    async fn bury(&mut self, table: &'static Table, tombstones: &[(String, Tombstone)]) -> Result<(), StoreError> {
        // Sorted for the order of locks, and one statement cannot write a row twice: the last one of an id stands.
        let sorted: BTreeMap<&str, &Tombstone> =
            tombstones.iter().map(|(id, tombstone)| (id.as_str(), tombstone)).collect();
        let ids = Array::text(sorted.keys().map(|id| Some(*id)));
        let times = Array::bigint(sorted.values().map(|tombstone| Some(tombstone.time)));
        let events = Array::text(sorted.values().map(|tombstone| Some(tombstone.source_event.as_str())));
        let bases = Array::bigint(sorted.values().map(|tombstone| tombstone.base_time));
        let parameters: Parameters<'_> = &[&table.name, &ids, &times, &events, &bases];
        self.execute("writing tombstones", statements::TOMBSTONES_WRITE, parameters).await?;
        Ok(())
    }

    async fn unbury(&mut self, table: &'static Table, ids: &[String]) -> Result<(), StoreError> {
        self.execute("removing tombstones", statements::TOMBSTONES_REMOVE, &[&table.name, &ids]).await?;
        Ok(())
    }

    async fn delete_rows(&mut self, table: &'static Table, ids: &[String]) -> Result<(), StoreError> {
        let sql = self.shared.table_sql(table, Statement::Delete)?;
        self.execute("removing rows", &sql, &[&ids]).await?;
        Ok(())
    }

    async fn delete_buried(&mut self, table: &'static Table, ids: &[String]) -> Result<(), StoreError> {
        let sql = self.shared.table_sql(table, Statement::DeleteBuried)?;
        self.execute("removing deleted rows", &sql, &[&ids]).await?;
        Ok(())
    }

    async fn contenders(&mut self, table: &'static Table, ids: &[String]) -> Result<Vec<Contender>, StoreError> {
        let rows = self.query("reading contenders", statements::CONTENDERS_READ, &[&table.name, &ids]).await?;
        let contender = |row: &tokio_postgres::Row| {
            Ok(Contender { table: table.index, id: column(row, 0)?, event_id: column(row, 1)?, time: column(row, 2)? })
        };
        rows.iter().map(contender).collect()
    }

    async fn add_contenders(&mut self, contenders: &[Contender]) -> Result<(), StoreError> {
        let mut sorted = Vec::with_capacity(contenders.len());
        for contender in contenders {
            sorted.push((self.table_name(contender.table)?, contender));
        }
        sorted.sort_by_key(|(table, contender)| (*table, &contender.id, &contender.event_id));
        let tables = Array::text(sorted.iter().map(|(table, _)| Some(*table)));
        let ids = Array::text(sorted.iter().map(|(_, contender)| Some(contender.id.as_str())));
        let events = Array::text(sorted.iter().map(|(_, contender)| Some(contender.event_id.as_str())));
        let times = Array::bigint(sorted.iter().map(|(_, contender)| Some(contender.time)));
        let parameters: Parameters<'_> = &[&tables, &ids, &events, &times];
        self.execute("remembering contenders", statements::CONTENDERS_WRITE, parameters).await?;
        Ok(())
    }

    async fn forget_contenders(&mut self, table: &'static Table, before: &[(String, i64)]) -> Result<(), StoreError> {
        let ids = Array::text(before.iter().map(|(id, _)| Some(id.as_str())));
        let times = Array::bigint(before.iter().map(|(_, time)| Some(*time)));
        self.execute("forgetting contenders", statements::CONTENDERS_FORGET, &[&table.name, &ids, &times]).await?;
        Ok(())
    }

    async fn events(&mut self, event_ids: &[String]) -> Result<Vec<StoredDelivery>, StoreError> {
        let rows = self.query("reading events", statements::EVENTS_READ, &[&event_ids]).await?;
        rows.iter().map(stored_delivery).collect()
    }

    async fn known_events(&mut self, event_ids: &[String]) -> Result<Vec<String>, StoreError> {
        let rows = self.query("looking for events", statements::EVENTS_KNOWN, &[&event_ids]).await?;
        rows.iter().map(|row| column(row, 0)).collect()
    }

    async fn prune_children(
        &mut self,
        table: &'static Table,
        parent_column: usize,
        orphans: Orphans,
        lists: &[CompleteList],
    ) -> Result<(), StoreError> {
        if orphans == Orphans::Keep || lists.is_empty() {
            return Ok(());
        }
        let sql = self.shared.table_sql(table, Statement::PruneChildren { parent_column, orphans })?;
        let parents = Array::text(lists.iter().map(|list| Some(list.parent.as_str())));
        let times = Array::bigint(lists.iter().map(|list| Some(list.version.time)));
        let ranks = Array::smallint(lists.iter().map(|list| list.version.rank as i16));
        let named: Vec<&String> = lists.iter().flat_map(|list| &list.children).collect();
        let named = Array::text(named.iter().map(|child| Some(child.as_str())));
        let parameters: Parameters<'_> = &[&parents, &times, &ranks, &named];
        self.execute("removing children that are gone", &sql, parameters).await?;
        Ok(())
    }

    async fn link(&mut self, table: &'static Table, ids: &[String]) -> Result<(), StoreError> {
        let shared = Arc::clone(&self.shared);
        if let Some(sql) = shared.links.after_writing(table)
            && !ids.is_empty()
        {
            self.execute("linking rows", sql, &[&ids]).await?;
        }
        Ok(())
    }

    async fn mark_dirty(&mut self, marks: &[DirtyMark]) -> Result<(), StoreError> {
        // Sorted for the order of locks; of two equal marks the later one stands.
        let mut latest: BTreeMap<(&str, &str, &str, &str), &DirtyMark> = BTreeMap::new();
        for mark in marks {
            let kept = latest.entry((&mark.object, &mark.id, &mark.event_id, &mark.reason)).or_insert(mark);
            if kept.not_before <= mark.not_before {
                *kept = mark;
            }
        }
        let text =
            |field: fn(&DirtyMark) -> &String| Array::text(latest.values().map(|mark| Some(field(mark).as_str())));
        let (objects, ids, accounts) = (text(|mark| &mark.object), text(|mark| &mark.id), text(|mark| &mark.account));
        let (reasons, events) = (text(|mark| &mark.reason), text(|mark| &mark.event_id));
        let times = Array::timestamps(latest.values().map(|mark| mark.not_before));
        let parameters: Parameters<'_> = &[&objects, &ids, &accounts, &reasons, &events, &times];
        self.execute("marking objects to read again", statements::DIRTY_MARK, parameters).await?;
        Ok(())
    }

    async fn attend(&mut self, names: &[EventName]) -> Result<Vec<(String, String)>, StoreError> {
        publish::attend(self, names).await
    }

    async fn publish(
        &mut self,
        publications: &[Publication],
        paths: &[(String, String)],
        matcher: &dyn WaitMatcher,
        now: jiff::Timestamp,
    ) -> Result<Vec<Published>, StoreError> {
        let mut freed = Freed::default();
        let published = publish::publish(self, publications, paths, matcher, &mut freed, now).await?;
        freed.open(self, now).await?;
        Ok(published)
    }

    async fn take_flow_cron(
        &mut self,
        function: &str,
        schedule: &str,
        last: jiff::Timestamp,
        to: jiff::Timestamp,
    ) -> Result<bool, StoreError> {
        let parameters: Parameters<'_> = &[&function, &schedule, &last, &to];
        Ok(self.execute("moving a schedule on", statements::FLOW_CRON_TAKE, parameters).await? == 1)
    }

    async fn take_ended_flow_runs(&mut self, runs: &[String]) -> Result<Vec<String>, StoreError> {
        let rows = self.query("taking ended runs", statements::FLOW_ENDED_TAKE, &[&runs]).await?;
        rows.iter().map(|row| column(row, 0)).collect()
    }

    async fn fail_parked_flow_run(&mut self, run: &str, now: jiff::Timestamp) -> Result<bool, StoreError> {
        let rows = self.query("failing a parked run", statements::FLOW_RUNS_FAIL_PARKED, &[&run, &now]).await?;
        Ok(!rows.is_empty())
    }

    async fn take_flow_events(&mut self, keys: &[String], now: jiff::Timestamp) -> Result<Vec<String>, StoreError> {
        publish::take(self, keys, now).await
    }

    async fn unmark_dirty(&mut self, marks: &[DirtyMark]) -> Result<(), StoreError> {
        let text = |field: fn(&DirtyMark) -> &String| Array::text(marks.iter().map(|mark| Some(field(mark).as_str())));
        let (objects, ids) = (text(|mark| &mark.object), text(|mark| &mark.id));
        let (events, reasons) = (text(|mark| &mark.event_id), text(|mark| &mark.reason));
        let times = Array::timestamps(marks.iter().map(|mark| mark.not_before));
        let parameters: Parameters<'_> = &[&objects, &ids, &events, &reasons, &times];
        self.execute("removing marks", statements::DIRTY_UNMARK, parameters).await?;
        Ok(())
    }

    async fn clear_dirty(&mut self, objects: &[(String, String)], until: jiff::Timestamp) -> Result<(), StoreError> {
        let kinds = Array::text(objects.iter().map(|(object, _)| Some(object.as_str())));
        let ids = Array::text(objects.iter().map(|(_, id)| Some(id.as_str())));
        self.execute("clearing marks", statements::DIRTY_CLEAR, &[&kinds, &ids, &until]).await?;
        Ok(())
    }

    async fn clear_dirty_of_events(&mut self, event_ids: &[String]) -> Result<(), StoreError> {
        self.execute("clearing marks of events", statements::DIRTY_CLEAR_OF_EVENTS, &[&event_ids]).await?;
        Ok(())
    }

    async fn quarantine(&mut self, entries: &[QuarantineEntry]) -> Result<(), StoreError> {
        let entries: BTreeMap<i64, &QuarantineEntry> = entries.iter().map(|entry| (entry.sequence, entry)).collect();
        let sequences = Array::bigint(entries.keys().map(|sequence| Some(*sequence)));
        let reasons = Array::text(entries.values().map(|entry| Some(entry.reason)));
        let details = Array::text(entries.values().map(|entry| Some(entry.detail.as_str())));
        let applied = Array::boolean(entries.values().map(|entry| Some(entry.applied)));
        let times = Array::timestamps(entries.values().map(|entry| entry.at));
        let parameters: Parameters<'_> = &[&sequences, &reasons, &details, &applied, &times];
        self.execute("setting deliveries aside", statements::QUARANTINE_WRITE, parameters).await?;
        Ok(())
    }

    async fn advance_segment(&mut self, advance: &Advance) -> Result<bool, StoreError> {
        segments::advance(self, advance).await
    }

    async fn missing_rows(&mut self, table: &'static Table, ids: &[String]) -> Result<Vec<String>, StoreError> {
        let sql = self.shared.table_sql(table, Statement::Missing)?;
        let rows = self.query("looking for rows", &sql, &[&ids]).await?;
        rows.iter().map(|row| column(row, 0)).collect()
    }

    async fn note_drift(&mut self, finds: &[DriftFind]) -> Result<(), StoreError> {
        drift::note(self, finds).await
    }
}
