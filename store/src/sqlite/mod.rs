//! The SQLite driver.
#![allow(unused_variables, missing_docs, reason = "skeleton")]

use billhook_core::table::Table;
use jiff::Timestamp;

use crate::*;

/// The driver.
#[derive(Clone)]
pub struct SqliteStore {}

impl SqliteStore {
    pub async fn open(options: Options) -> Result<Self, StoreError> {
        todo!()
    }

    pub fn tables(&self) -> &'static [Table] {
        todo!()
    }

    pub async fn migrate(&self) -> Result<MigrationReport, StoreError> {
        todo!()
    }

    pub async fn schema_state(&self) -> Result<SchemaState, StoreError> {
        todo!()
    }

    pub async fn ping(&self) -> Result<(), StoreError> {
        todo!()
    }

    pub async fn close(&self) {
        todo!()
    }

    pub async fn insert_deliveries(&self, deliveries: Vec<Delivery>) -> Result<Vec<Option<i64>>, StoreError> {
        todo!()
    }

    pub async fn pending_deliveries(
        &self,
        received_before: Timestamp,
        limit: usize,
        bytes_max: usize,
    ) -> Result<Vec<StoredDelivery>, StoreError> {
        todo!()
    }

    pub async fn backlog(&self) -> Result<Backlog, StoreError> {
        todo!()
    }

    pub async fn transact<W: Work>(&self, work: W) -> Result<W::Output, StoreError> {
        todo!()
    }

    pub async fn list_events(&self, filter: EventFilter) -> Result<Vec<EventSummary>, StoreError> {
        todo!()
    }

    pub async fn event(&self, event_id: &str) -> Result<Option<EventDetail>, StoreError> {
        todo!()
    }

    pub async fn replay(&self, event_ids: &[String]) -> Result<u64, StoreError> {
        todo!()
    }

    pub async fn list_quarantine(&self, limit: usize) -> Result<Vec<QuarantineSummary>, StoreError> {
        todo!()
    }

    pub async fn retry_quarantined(&self, event_ids: &[String]) -> Result<u64, StoreError> {
        todo!()
    }

    pub async fn drop_quarantined(&self, event_ids: &[String]) -> Result<u64, StoreError> {
        todo!()
    }

    pub async fn due_dirty(&self, now: Timestamp, limit: usize) -> Result<Vec<DirtyMark>, StoreError> {
        todo!()
    }

    pub async fn scan_rows(&self, table: &'static Table, after_id: &str, limit: usize) -> Result<Vec<StoredRow>, StoreError> {
        todo!()
    }

    pub async fn rewrite_rows(&self, table: &'static Table, rows: Vec<billhook_core::row::Row>) -> Result<u64, StoreError> {
        todo!()
    }

    pub async fn row_counts(&self) -> Result<Vec<(&'static str, u64)>, StoreError> {
        todo!()
    }

    pub async fn setting(&self, key: &str) -> Result<Option<String>, StoreError> {
        todo!()
    }

    pub async fn pin_setting(&self, key: &str, value: &str) -> Result<String, StoreError> {
        todo!()
    }

    pub async fn prune_deliveries(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        todo!()
    }
}
