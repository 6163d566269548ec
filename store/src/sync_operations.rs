//! The operations of [`Store`] that keep the mirror complete.

use billhook_core::table::Table;
use jiff::Timestamp;

use crate::{
    DriftCount, Gap, NewRun, RunSummary, Segment, SegmentEnd, Started, Store, StoreError, StoredDrift, StoredRow,
    UnseenRows, WebhookEndpoint,
};

impl Store {
    /// Starts a run, or joins the open one of the same object and window, whichever node made it. Runs of
    /// [`crate::RECONCILE`] join only each other. A joined run becomes `related` when the new one is; what it has read already is
    /// not looked at again.
    ///
    /// # Errors
    /// [`StoreError::Refused`] for a run without segments.
    pub async fn start_run(&self, run: NewRun) -> Result<Started, StoreError> {
        each!(self, driver => driver.start_run(run).await)
    }

    /// Takes segments nobody works on: they wait and their time has come, or their lease ended before `now`. Those that wait
    /// longest come first. Each one's token grows, which fences off whoever had it before. No two callers get the same one.
    pub async fn claim_segments(
        &self,
        holder: &str,
        now: Timestamp,
        lease_until: Timestamp,
        limit: usize,
        reconcile: bool,
    ) -> Result<Vec<Segment>, StoreError> {
        each!(self, driver => driver.claim_segments(holder, now, lease_until, limit, reconcile).await)
    }

    /// Lengthens leases, given as segment and token; returns the segments that are still the holder's.
    pub async fn renew_segments(
        &self,
        holder: &str,
        segments: &[(i64, i64)],
        lease_until: Timestamp,
    ) -> Result<Vec<i64>, StoreError> {
        each!(self, driver => driver.renew_segments(holder, segments, lease_until).await)
    }

    /// Gives back all leases of a holder; returns how many. Others may claim the segments at once.
    pub async fn release_segments(&self, holder: &str, now: Timestamp) -> Result<u64, StoreError> {
        each!(self, driver => driver.release_segments(holder, now).await)
    }

    /// Gives a lease back after a failure that may pass; the segment waits until `not_before`. Returns false when the token is
    /// no longer the segment's.
    pub async fn postpone_segment(
        &self,
        segment: i64,
        token: i64,
        not_before: Timestamp,
        message: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        each!(self, driver => driver.postpone_segment(segment, token, not_before, message, now).await)
    }

    /// Ends a segment, and with the last one its run. Returns false when the token is no longer the segment's.
    pub async fn close_segment(
        &self,
        segment: i64,
        token: i64,
        end: SegmentEnd,
        message: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        each!(self, driver => driver.close_segment(segment, token, end, message, now).await)
    }

    /// Runs, newest first.
    pub async fn list_runs(&self, limit: usize, open_only: bool) -> Result<Vec<RunSummary>, StoreError> {
        each!(self, driver => driver.list_runs(limit, open_only).await)
    }

    /// One run.
    pub async fn run(&self, id: i64) -> Result<Option<RunSummary>, StoreError> {
        each!(self, driver => driver.run(id).await)
    }

    /// Removes runs that ended before `before`, at most `limit`, with their segments. Returns how many were removed.
    pub async fn prune_runs(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        each!(self, driver => driver.prune_runs(before, limit).await)
    }

    /// Takes or lengthens a lease that one node holds at a time; false when another holder's lease has not ended at `now`.
    pub async fn take_lease(
        &self,
        name: &str,
        holder: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        each!(self, driver => driver.take_lease(name, holder, now, until).await)
    }

    /// Gives a lease back when it is the holder's.
    pub async fn drop_lease(&self, name: &str, holder: &str) -> Result<(), StoreError> {
        each!(self, driver => driver.drop_lease(name, holder).await)
    }

    /// Writes a setting, whatever it was before.
    pub async fn write_setting(&self, key: &str, value: &str) -> Result<(), StoreError> {
        each!(self, driver => driver.write_setting(key, value).await)
    }

    /// Rows by id, in the order of the ids. Rows of an older engine without `_raw_data` count as missing. Nothing is locked.
    pub async fn rows(&self, table: &'static Table, ids: &[String]) -> Result<Vec<Option<StoredRow>>, StoreError> {
        each!(self, driver => driver.rows(table, ids).await)
    }

    /// Looks at `limit` rows in order of id and returns those whose `_version_time` is less than `version_before` and that are
    /// not flagged as deleted. It looks at no more rows, however few it finds, so that a step stays short.
    pub async fn unseen_rows(
        &self,
        table: &'static Table,
        version_before: i64,
        after_id: &str,
        limit: usize,
    ) -> Result<UnseenRows, StoreError> {
        each!(self, driver => driver.unseen_rows(table, version_before, after_id, limit).await)
    }

    /// Puts off reading objects, given as kind and id, so that they do not keep others waiting. Marks that are later already stay.
    pub async fn postpone_dirty(&self, objects: &[(String, String)], until: Timestamp) -> Result<(), StoreError> {
        each!(self, driver => driver.postpone_dirty(objects, until).await)
    }

    /// Number of objects that are to be read again, by kind.
    pub async fn dirty_count(&self) -> Result<Vec<(String, u64)>, StoreError> {
        each!(self, driver => driver.dirty_count().await)
    }

    /// Finds from before `found_before` that have not been decided, oldest first.
    pub async fn due_drift(&self, found_before: Timestamp, limit: usize) -> Result<Vec<StoredDrift>, StoreError> {
        each!(self, driver => driver.due_drift(found_before, limit).await)
    }

    /// Decides finds by number: those no event explains become drift, the others are forgotten.
    pub async fn settle_drift(&self, confirmed: &[i64], dismissed: &[i64], now: Timestamp) -> Result<(), StoreError> {
        each!(self, driver => driver.settle_drift(confirmed, dismissed, now).await)
    }

    /// Finds, newest first, decided or not.
    pub async fn list_drift(&self, limit: usize) -> Result<Vec<StoredDrift>, StoreError> {
        each!(self, driver => driver.list_drift(limit).await)
    }

    /// Number of finds by kind of object.
    pub async fn drift_counts(&self) -> Result<Vec<DriftCount>, StoreError> {
        each!(self, driver => driver.drift_counts().await)
    }

    /// Removes finds that were confirmed before `before`, at most `limit`. Returns how many were removed.
    pub async fn prune_drift(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        each!(self, driver => driver.prune_drift(before, limit).await)
    }

    /// Whether the inbox holds an event about this object with `after_created < created <= upto_created`, Unix seconds.
    pub async fn object_has_event_between(
        &self,
        object_id: &str,
        after_created: i64,
        upto_created: i64,
    ) -> Result<bool, StoreError> {
        each!(self, driver => driver.object_has_event_between(object_id, after_created, upto_created).await)
    }

    /// Remembers a gap.
    pub async fn record_gap(&self, gap: &Gap) -> Result<(), StoreError> {
        each!(self, driver => driver.record_gap(gap).await)
    }

    /// Gaps, newest first.
    pub async fn list_gaps(&self, limit: usize) -> Result<Vec<Gap>, StoreError> {
        each!(self, driver => driver.list_gaps(limit).await)
    }

    /// Writes a webhook endpoint, replacing the one of the same id.
    pub async fn save_endpoint(&self, endpoint: &WebhookEndpoint) -> Result<(), StoreError> {
        each!(self, driver => driver.save_endpoint(endpoint).await)
    }

    /// All webhook endpoints, oldest first.
    pub async fn list_endpoints(&self) -> Result<Vec<WebhookEndpoint>, StoreError> {
        each!(self, driver => driver.list_endpoints().await)
    }

    /// Forgets a webhook endpoint and its secret; returns whether it was there.
    pub async fn remove_endpoint(&self, id: &str) -> Result<bool, StoreError> {
        each!(self, driver => driver.remove_endpoint(id).await)
    }
}
