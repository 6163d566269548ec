//! What the ordering law may do inside one write transaction.

use std::future::Future;

use billhook_core::row::Row;
use billhook_core::table::{Orphans, Table};
use jiff::Timestamp;

use crate::{
    Advance, CompleteList, Contender, DirtyMark, DriftFind, EventName, Guard, Publication, Published, QuarantineEntry,
    RowState, StoreError, StoredDelivery, Tombstone, WaitMatcher,
};

/// A piece of work that runs in one transaction, on either driver.
///
/// It is a trait and not a closure because it is generic over the driver's transaction. On SQLite it runs on the writer thread
/// and must not wait for anything but the transaction's own operations.
pub trait Work: Send + 'static {
    /// What it returns.
    type Output: Send + 'static;

    /// Does the work. An error rolls everything back.
    fn run<T: Transaction>(self, transaction: &mut T) -> impl Future<Output = Result<Self::Output, StoreError>> + Send;
}

/// The operations of a write transaction.
///
/// Every operation takes many items at once, so that PostgreSQL pays one round trip a kind and not one an item. Slices of ids
/// hold no id twice. Results stand in the order of their arguments.
pub trait Transaction: Send {
    /// Takes deliveries out of the queue of unapplied ones and returns those that were still in it, ascending. What is missing
    /// was applied by another node. The row locks taken here are what makes an event take effect once.
    fn claim(&mut self, sequences: &[i64]) -> impl Future<Output = Result<Vec<i64>, StoreError>> + Send;

    /// Puts the deliveries of these events back into the queue.
    fn release(&mut self, event_ids: &[String]) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Inserts or replaces rows of one table, where `guard` allows it; returns for each whether it was written.
    ///
    /// With [`Guard::Newer`] and [`Guard::NotOlder`] a tombstone of the same table and id forbids the row unless the row
    /// `revives` and its time is strictly greater than the tombstone's. A row that is a `stub` replaces `deleted` and the meta
    /// columns except `_raw_data` and keeps all others. Rows are written in order of id, so that two nodes never wait for each
    /// other.
    fn upsert(
        &mut self,
        table: &'static Table,
        rows: &[Row],
        guard: Guard,
    ) -> impl Future<Output = Result<Vec<bool>, StoreError>> + Send;

    /// Locks rows and reads their versions.
    fn row_states(
        &mut self,
        table: &'static Table,
        ids: &[String],
    ) -> impl Future<Output = Result<Vec<Option<RowState>>, StoreError>> + Send;

    /// Reads tombstones.
    fn tombstones(
        &mut self,
        table: &'static Table,
        ids: &[String],
    ) -> impl Future<Output = Result<Vec<Option<Tombstone>>, StoreError>> + Send;

    /// Writes tombstones, replacing older ones.
    fn bury(
        &mut self,
        table: &'static Table,
        tombstones: &[(String, Tombstone)],
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Removes tombstones: the objects live again.
    fn unbury(&mut self, table: &'static Table, ids: &[String]) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Removes rows.
    fn delete_rows(
        &mut self,
        table: &'static Table,
        ids: &[String],
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Removes rows that a tombstone of the same or a later time forbids. Closes the race of a late update with a deletion on
    /// another node: a statement later in the same transaction sees what was committed while the upsert waited.
    fn delete_buried(
        &mut self,
        table: &'static Table,
        ids: &[String],
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Reads the contenders of objects of one table.
    fn contenders(
        &mut self,
        table: &'static Table,
        ids: &[String],
    ) -> impl Future<Output = Result<Vec<Contender>, StoreError>> + Send;

    /// Remembers contenders; known ones are left as they are.
    fn add_contenders(&mut self, contenders: &[Contender]) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Forgets the contenders of these objects whose time is less than the given one.
    fn forget_contenders(
        &mut self,
        table: &'static Table,
        before: &[(String, i64)],
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Reads deliveries by event id; unknown ones are missing from the result.
    fn events(&mut self, event_ids: &[String]) -> impl Future<Output = Result<Vec<StoredDelivery>, StoreError>> + Send;

    /// Of these event ids, those that the inbox holds.
    fn known_events(&mut self, event_ids: &[String]) -> impl Future<Output = Result<Vec<String>, StoreError>> + Send;

    /// Flags or removes the child rows of each parent that its complete list does not name and whose version is not greater
    /// than the list's.
    fn prune_children(
        &mut self,
        table: &'static Table,
        parent_column: usize,
        orphans: Orphans,
        lists: &[CompleteList],
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Fills the columns that depend on rows of other tables (`charges.invoice`, …) after rows of `table` were written.
    fn link(&mut self, table: &'static Table, ids: &[String]) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Marks objects for reading them again. An object has one mark for each event and reason; one that is there keeps the later
    /// `not_before`.
    fn mark_dirty(&mut self, marks: &[DirtyMark]) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Removes exactly these marks, except where the same mark asks for a later read by now.
    fn unmark_dirty(&mut self, marks: &[DirtyMark]) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Removes marks by kind and id whose `not_before` is not later than `until`: later ones ask for another read than the one
    /// that was made.
    fn clear_dirty(
        &mut self,
        objects: &[(String, String)],
        until: Timestamp,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Removes marks that were caused by these events: a snapshot event settles its thin twin.
    fn clear_dirty_of_events(&mut self, event_ids: &[String]) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Keeps waits and events apart until the commit: while one transaction registers waits for a name, no other publishes an event of
    /// it. So whoever registers sees every event that came before, and whoever publishes every wait. Comes before anything else of this
    /// kind in a transaction, with all names at once, or two of them may wait for each other. Returns the names that somebody waits
    /// for, each with the paths that their waits look at.
    fn attend(&mut self, names: &[EventName])
    -> impl Future<Output = Result<Vec<(String, String)>, StoreError>> + Send;

    /// Publishes events: starts their runs, ends waits, calls off runs. `paths` is what [`Transaction::attend`] returned.
    fn publish(
        &mut self,
        publications: &[Publication],
        paths: &[(String, String)],
        matcher: &dyn WaitMatcher,
        now: Timestamp,
    ) -> impl Future<Output = Result<Vec<Published>, StoreError>> + Send;

    /// Takes scheduled events whose time has come; returns the keys of those that nobody took before and nobody called off.
    fn take_flow_events(
        &mut self,
        keys: &[String],
        now: Timestamp,
    ) -> impl Future<Output = Result<Vec<String>, StoreError>> + Send;

    /// Moves a schedule on from `last` to `to`; false when somebody else did.
    fn take_flow_cron(
        &mut self,
        function: &str,
        schedule: &str,
        last: Timestamp,
        to: Timestamp,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Takes runs that ended without their function; returns those of which nobody has told yet.
    fn take_ended_flow_runs(&mut self, runs: &[String])
    -> impl Future<Output = Result<Vec<String>, StoreError>> + Send;

    /// Fails a run that is parked; false when it is not.
    fn fail_parked_flow_run(
        &mut self,
        run: &str,
        now: Timestamp,
    ) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Shows deliveries in the quarantine.
    fn quarantine(&mut self, entries: &[QuarantineEntry]) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Notes a page of a segment: cursor, counts, the parts that were split off, the end of the segment and, with its last one, of
    /// its run. Returns false when the token is no longer the segment's: somebody else works on it, nothing was noted, and the page's
    /// rows must not be written.
    fn advance_segment(&mut self, advance: &Advance) -> impl Future<Output = Result<bool, StoreError>> + Send;

    /// Of these ids, those that have neither a row nor a tombstone.
    fn missing_rows(
        &mut self,
        table: &'static Table,
        ids: &[String],
    ) -> impl Future<Output = Result<Vec<String>, StoreError>> + Send;

    /// Notes finds that events may still explain. Each is about one change of state, so an object can have several: an event that
    /// explains one of them explains no other.
    fn note_drift(&mut self, finds: &[DriftFind]) -> impl Future<Output = Result<(), StoreError>> + Send;
}
