//! Not built yet.

use billhook_core::table::Table;
use jiff::Timestamp;

use crate::{
    DriftCount, Gap, NewRun, RunSummary, Segment, SegmentEnd, Started, StoreError, StoredDrift, StoredRow, UnseenRows,
    WebhookEndpoint,
};

fn missing<T>(operation: &'static str) -> Result<T, StoreError> {
    Err(StoreError::Refused { operation, message: "not built yet".to_owned() })
}

impl super::SqliteStore {
    #[expect(missing_docs, clippy::unused_async, reason = "not built yet")]
    pub async fn start_run(&self, _run: NewRun) -> Result<Started, StoreError> {
        missing("start_run")
    }

    #[expect(missing_docs, clippy::unused_async, reason = "not built yet")]
    pub async fn claim_segments(
        &self,
        _holder: &str,
        _now: Timestamp,
        _lease_until: Timestamp,
        _limit: usize,
        _reconcile: bool,
    ) -> Result<Vec<Segment>, StoreError> {
        missing("claim_segments")
    }

    #[expect(missing_docs, clippy::unused_async, reason = "not built yet")]
    pub async fn renew_segments(
        &self,
        _holder: &str,
        _segments: &[(i64, i64)],
        _lease_until: Timestamp,
    ) -> Result<Vec<i64>, StoreError> {
        missing("renew_segments")
    }

    #[expect(missing_docs, clippy::unused_async, reason = "not built yet")]
    pub async fn release_segments(&self, _holder: &str, _now: Timestamp) -> Result<u64, StoreError> {
        missing("release_segments")
    }

    #[expect(missing_docs, clippy::unused_async, reason = "not built yet")]
    pub async fn postpone_segment(
        &self,
        _segment: i64,
        _token: i64,
        _not_before: Timestamp,
        _message: &str,
        _now: Timestamp,
    ) -> Result<bool, StoreError> {
        missing("postpone_segment")
    }

    #[expect(missing_docs, clippy::unused_async, reason = "not built yet")]
    pub async fn close_segment(
        &self,
        _segment: i64,
        _token: i64,
        _end: SegmentEnd,
        _message: &str,
        _now: Timestamp,
    ) -> Result<bool, StoreError> {
        missing("close_segment")
    }

    #[expect(missing_docs, clippy::unused_async, reason = "not built yet")]
    pub async fn list_runs(&self, _limit: usize, _open_only: bool) -> Result<Vec<RunSummary>, StoreError> {
        missing("list_runs")
    }

    #[expect(missing_docs, clippy::unused_async, reason = "not built yet")]
    pub async fn run(&self, _id: i64) -> Result<Option<RunSummary>, StoreError> {
        missing("run")
    }

    #[expect(missing_docs, clippy::unused_async, reason = "not built yet")]
    pub async fn prune_runs(&self, _before: Timestamp, _limit: usize) -> Result<u64, StoreError> {
        missing("prune_runs")
    }

    #[expect(missing_docs, clippy::unused_async, reason = "not built yet")]
    pub async fn take_lease(
        &self,
        _name: &str,
        _holder: &str,
        _now: Timestamp,
        _until: Timestamp,
    ) -> Result<bool, StoreError> {
        missing("take_lease")
    }

    #[expect(missing_docs, clippy::unused_async, reason = "not built yet")]
    pub async fn drop_lease(&self, _name: &str, _holder: &str) -> Result<(), StoreError> {
        missing("drop_lease")
    }

    #[expect(missing_docs, clippy::unused_async, reason = "not built yet")]
    pub async fn write_setting(&self, _key: &str, _value: &str) -> Result<(), StoreError> {
        missing("write_setting")
    }

    #[expect(missing_docs, clippy::unused_async, reason = "not built yet")]
    pub async fn rows(&self, _table: &'static Table, _ids: &[String]) -> Result<Vec<Option<StoredRow>>, StoreError> {
        missing("rows")
    }

    #[expect(missing_docs, clippy::unused_async, reason = "not built yet")]
    pub async fn unseen_rows(
        &self,
        _table: &'static Table,
        _version_before: i64,
        _after_id: &str,
        _limit: usize,
    ) -> Result<UnseenRows, StoreError> {
        missing("unseen_rows")
    }

    #[expect(missing_docs, clippy::unused_async, reason = "not built yet")]
    pub async fn postpone_dirty(&self, _objects: &[(String, String)], _until: Timestamp) -> Result<(), StoreError> {
        missing("postpone_dirty")
    }

    #[expect(missing_docs, clippy::unused_async, reason = "not built yet")]
    pub async fn dirty_count(&self) -> Result<Vec<(String, u64)>, StoreError> {
        missing("dirty_count")
    }

    #[expect(missing_docs, clippy::unused_async, reason = "not built yet")]
    pub async fn due_drift(&self, _found_before: Timestamp, _limit: usize) -> Result<Vec<StoredDrift>, StoreError> {
        missing("due_drift")
    }

    #[expect(missing_docs, clippy::unused_async, reason = "not built yet")]
    pub async fn settle_drift(
        &self,
        _confirmed: &[i64],
        _dismissed: &[i64],
        _now: Timestamp,
    ) -> Result<(), StoreError> {
        missing("settle_drift")
    }

    #[expect(missing_docs, clippy::unused_async, reason = "not built yet")]
    pub async fn list_drift(&self, _limit: usize) -> Result<Vec<StoredDrift>, StoreError> {
        missing("list_drift")
    }

    #[expect(missing_docs, clippy::unused_async, reason = "not built yet")]
    pub async fn drift_counts(&self) -> Result<Vec<DriftCount>, StoreError> {
        missing("drift_counts")
    }

    #[expect(missing_docs, clippy::unused_async, reason = "not built yet")]
    pub async fn prune_drift(&self, _before: Timestamp, _limit: usize) -> Result<u64, StoreError> {
        missing("prune_drift")
    }

    #[expect(missing_docs, clippy::unused_async, reason = "not built yet")]
    pub async fn object_has_event_between(
        &self,
        _object_id: &str,
        _after_created: i64,
        _upto_created: i64,
    ) -> Result<bool, StoreError> {
        missing("object_has_event_between")
    }

    #[expect(missing_docs, clippy::unused_async, reason = "not built yet")]
    pub async fn record_gap(&self, _gap: &Gap) -> Result<(), StoreError> {
        missing("record_gap")
    }

    #[expect(missing_docs, clippy::unused_async, reason = "not built yet")]
    pub async fn list_gaps(&self, _limit: usize) -> Result<Vec<Gap>, StoreError> {
        missing("list_gaps")
    }

    #[expect(missing_docs, clippy::unused_async, reason = "not built yet")]
    pub async fn save_endpoint(&self, _endpoint: &WebhookEndpoint) -> Result<(), StoreError> {
        missing("save_endpoint")
    }

    #[expect(missing_docs, clippy::unused_async, reason = "not built yet")]
    pub async fn list_endpoints(&self) -> Result<Vec<WebhookEndpoint>, StoreError> {
        missing("list_endpoints")
    }

    #[expect(missing_docs, clippy::unused_async, reason = "not built yet")]
    pub async fn remove_endpoint(&self, _id: &str) -> Result<bool, StoreError> {
        missing("remove_endpoint")
    }
}
