//! The operations that keep the mirror complete. What each does stands at [`crate::Store`].

use billhook_core::table::Table;
use jiff::Timestamp;

use super::job::Kind;
use super::{SqliteStore, attention, drift, endpoints, history, inbox, runs, segments, settings};
use crate::{
    DriftCount, Gap, NewRun, RunSummary, Segment, SegmentEnd, Started, StoreError, StoredDrift, StoredRow, UnseenRows,
    WebhookEndpoint,
};

impl SqliteStore {
    /// See [`crate::Store::start_run`].
    pub async fn start_run(&self, run: NewRun) -> Result<Started, StoreError> {
        let operation = "starting a sync run";
        if run.segments.is_empty() {
            return Err(StoreError::Refused { operation, message: "a run needs something to read".to_owned() });
        }
        self.write(Kind::Upkeep, 0, operation, move |connection| runs::start(connection, &run)).await
    }

    /// See [`crate::Store::claim_segments`].
    pub async fn claim_segments(
        &self,
        holder: &str,
        now: Timestamp,
        lease_until: Timestamp,
        limit: usize,
        reconcile: bool,
    ) -> Result<Vec<Segment>, StoreError> {
        let holder = holder.to_owned();
        self.write(Kind::Upkeep, 0, "claiming segments", move |connection| {
            segments::claim(connection, &holder, now, lease_until, limit, reconcile)
        })
        .await
    }

    /// See [`crate::Store::renew_segments`].
    pub async fn renew_segments(
        &self,
        holder: &str,
        segments: &[(i64, i64)],
        lease_until: Timestamp,
    ) -> Result<Vec<i64>, StoreError> {
        let (holder, segments) = (holder.to_owned(), segments.to_vec());
        self.write(Kind::Upkeep, 0, "lengthening leases", move |connection| {
            segments::renew(connection, &holder, &segments, lease_until)
        })
        .await
    }

    /// See [`crate::Store::release_segments`].
    pub async fn release_segments(&self, holder: &str, now: Timestamp) -> Result<u64, StoreError> {
        let holder = holder.to_owned();
        let release = move |connection: &rusqlite::Connection| segments::release(connection, &holder, now);
        self.write(Kind::Upkeep, 0, "giving segments back", release).await
    }

    /// See [`crate::Store::postpone_segment`].
    pub async fn postpone_segment(
        &self,
        segment: i64,
        token: i64,
        not_before: Timestamp,
        message: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let message = message.to_owned();
        self.write(Kind::Upkeep, 0, "putting a segment off", move |connection| {
            segments::postpone(connection, segment, token, not_before, &message, now)
        })
        .await
    }

    /// See [`crate::Store::close_segment`].
    pub async fn close_segment(
        &self,
        segment: i64,
        token: i64,
        end: SegmentEnd,
        message: &str,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let message = message.to_owned();
        self.write(Kind::Upkeep, 0, "ending a segment", move |connection| {
            segments::close(connection, segment, token, end, &message, now)
        })
        .await
    }

    /// See [`crate::Store::list_runs`].
    pub async fn list_runs(&self, limit: usize, open_only: bool) -> Result<Vec<RunSummary>, StoreError> {
        self.read("listing sync runs", move |connection| runs::list(connection, None, open_only, limit)).await
    }

    /// See [`crate::Store::run`].
    pub async fn run(&self, id: i64) -> Result<Option<RunSummary>, StoreError> {
        let runs =
            self.read("reading a sync run", move |connection| runs::list(connection, Some(id), false, 1)).await?;
        Ok(runs.into_iter().next())
    }

    /// See [`crate::Store::prune_runs`].
    pub async fn prune_runs(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        let prune = move |connection: &rusqlite::Connection| runs::prune(connection, before, limit);
        self.write(Kind::Upkeep, 0, "removing old sync runs", prune).await
    }

    /// See [`crate::Store::take_lease`].
    pub async fn take_lease(
        &self,
        name: &str,
        holder: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        let (name, holder) = (name.to_owned(), holder.to_owned());
        self.write(Kind::Upkeep, 0, "taking a lease", move |connection| {
            settings::take_lease(connection, &name, &holder, now, until)
        })
        .await
    }

    /// See [`crate::Store::drop_lease`].
    pub async fn drop_lease(&self, name: &str, holder: &str) -> Result<(), StoreError> {
        let (name, holder) = (name.to_owned(), holder.to_owned());
        let drop_lease = move |connection: &rusqlite::Connection| settings::drop_lease(connection, &name, &holder);
        self.write(Kind::Upkeep, 0, "giving a lease back", drop_lease).await
    }

    /// See [`crate::Store::write_setting`].
    pub async fn write_setting(&self, key: &str, value: &str) -> Result<(), StoreError> {
        let (key, value) = (key.to_owned(), value.to_owned());
        let write = move |connection: &rusqlite::Connection| settings::write(connection, &key, &value);
        self.write(Kind::Upkeep, 0, "writing a setting", write).await
    }

    /// See [`crate::Store::rows`].
    pub async fn rows(&self, table: &'static Table, ids: &[String]) -> Result<Vec<Option<StoredRow>>, StoreError> {
        let ids = ids.to_vec();
        self.read("reading rows", move |connection| history::rows(connection, table, &ids)).await
    }

    /// See [`crate::Store::unseen_rows`].
    pub async fn unseen_rows(
        &self,
        table: &'static Table,
        version_before: i64,
        after_id: &str,
        limit: usize,
    ) -> Result<UnseenRows, StoreError> {
        let after_id = after_id.to_owned();
        self.read("looking for unseen rows", move |connection| {
            history::unseen(connection, table, version_before, &after_id, limit)
        })
        .await
    }

    /// See [`crate::Store::postpone_dirty`].
    pub async fn postpone_dirty(&self, objects: &[(String, String)], until: Timestamp) -> Result<(), StoreError> {
        let objects = objects.to_vec();
        let postpone = move |connection: &rusqlite::Connection| attention::postpone(connection, &objects, until);
        self.write(Kind::Upkeep, 0, "putting reads off", postpone).await
    }

    /// See [`crate::Store::dirty_count`].
    pub async fn dirty_count(&self) -> Result<Vec<(String, u64)>, StoreError> {
        self.read("counting objects to read again", attention::count_dirty).await
    }

    /// See [`crate::Store::due_drift`].
    pub async fn due_drift(&self, found_before: Timestamp, limit: usize) -> Result<Vec<StoredDrift>, StoreError> {
        self.read("reading undecided drift", move |connection| drift::due(connection, found_before, limit)).await
    }

    /// See [`crate::Store::settle_drift`].
    pub async fn settle_drift(&self, confirmed: &[i64], dismissed: &[i64], now: Timestamp) -> Result<(), StoreError> {
        let (confirmed, dismissed) = (confirmed.to_vec(), dismissed.to_vec());
        let settle = move |connection: &rusqlite::Connection| drift::settle(connection, &confirmed, &dismissed, now);
        self.write(Kind::Upkeep, 0, "deciding drift", settle).await
    }

    /// See [`crate::Store::list_drift`].
    pub async fn list_drift(&self, limit: usize) -> Result<Vec<StoredDrift>, StoreError> {
        self.read("listing drift", move |connection| drift::list(connection, limit)).await
    }

    /// See [`crate::Store::drift_counts`].
    pub async fn drift_counts(&self) -> Result<Vec<DriftCount>, StoreError> {
        self.read("counting drift", drift::counts).await
    }

    /// See [`crate::Store::prune_drift`].
    pub async fn prune_drift(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        let prune = move |connection: &rusqlite::Connection| drift::prune(connection, before, limit);
        self.write(Kind::Upkeep, 0, "removing old drift", prune).await
    }

    /// See [`crate::Store::object_has_event_between`].
    pub async fn object_has_event_between(
        &self,
        object_id: &str,
        after_created: i64,
        upto_created: i64,
    ) -> Result<bool, StoreError> {
        let object_id = object_id.to_owned();
        self.read("looking for an event", move |connection| {
            inbox::has_event_between(connection, &object_id, after_created, upto_created)
        })
        .await
    }

    /// See [`crate::Store::record_gap`].
    pub async fn record_gap(&self, gap: &Gap) -> Result<(), StoreError> {
        let gap = gap.clone();
        self.write(Kind::Upkeep, 0, "recording a gap", move |connection| drift::record_gap(connection, &gap)).await
    }

    /// See [`crate::Store::list_gaps`].
    pub async fn list_gaps(&self, limit: usize) -> Result<Vec<Gap>, StoreError> {
        self.read("listing gaps", move |connection| drift::gaps(connection, limit)).await
    }

    /// See [`crate::Store::save_endpoint`].
    pub async fn save_endpoint(&self, endpoint: &WebhookEndpoint) -> Result<(), StoreError> {
        let endpoint = endpoint.clone();
        let save = move |connection: &rusqlite::Connection| endpoints::save(connection, &endpoint);
        self.write(Kind::Upkeep, 0, "keeping a webhook endpoint", save).await
    }

    /// See [`crate::Store::list_endpoints`].
    pub async fn list_endpoints(&self) -> Result<Vec<WebhookEndpoint>, StoreError> {
        self.read("reading webhook endpoints", endpoints::list).await
    }

    /// See [`crate::Store::remove_endpoint`].
    pub async fn remove_endpoint(&self, id: &str) -> Result<bool, StoreError> {
        let id = id.to_owned();
        let remove = move |connection: &rusqlite::Connection| endpoints::remove(connection, &id);
        self.write(Kind::Upkeep, 0, "forgetting a webhook endpoint", remove).await
    }
}
