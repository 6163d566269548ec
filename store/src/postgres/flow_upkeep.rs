//! Upkeep of runs. What each operation does stands at [`crate::Store`].

use jiff::Timestamp;
use tokio_postgres::Row;

use super::flow::{columns, event_at};
use super::session::Patience;
use super::{Parameters, PostgresStore, column, limit, statements};
use crate::{FlowRetention, FlowVersion, MissingVersions, ParkedRun, StoreError};

impl PostgresStore {
    /// See [`crate::Store::expire_flow_runs`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn expire_flow_runs(&self, now: Timestamp, limit_runs: usize) -> Result<Vec<String>, StoreError> {
        let parameters: Parameters<'_> = &[&now, &limit(limit_runs)];
        let operation = "ending runs whose time is over";
        let rows = self.query(Patience::Housekeeping, operation, statements::FLOW_RUNS_EXPIRE, parameters).await?;
        rows.iter().map(|row| column(row, 0)).collect()
    }

    /// See [`crate::Store::note_flow_versions`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn note_flow_versions(&self, versions: &[FlowVersion], now: Timestamp) -> Result<(), StoreError> {
        let (functions, versions) = columns(versions);
        let parameters: Parameters<'_> = &[&functions, &versions, &now];
        let operation = "noting versions of functions";
        self.execute(Patience::Answer, operation, statements::FLOW_VERSIONS_SEEN, parameters).await.map(drop)
    }

    /// See [`crate::Store::park_missing_versions`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn park_missing_versions(
        &self,
        missing: &MissingVersions,
        now: Timestamp,
    ) -> Result<Vec<String>, StoreError> {
        let MissingVersions { functions, since, message, limit: most } = missing;
        let parameters: Parameters<'_> = &[&now, since, functions, &limit(*most), message];
        let operation = "parking runs whose version is missing";
        let rows = self.query(Patience::Housekeeping, operation, statements::FLOW_VERSIONS_MISSING, parameters).await?;
        rows.iter().map(|row| column(row, 0)).collect()
    }

    /// See [`crate::Store::parked_flow_runs`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn parked_flow_runs(&self, until: Timestamp, limit_runs: usize) -> Result<Vec<ParkedRun>, StoreError> {
        let parameters: Parameters<'_> = &[&until, &limit(limit_runs)];
        let operation = "looking for parked runs";
        let rows = self.query(Patience::Housekeeping, operation, statements::FLOW_RUNS_PARKED, parameters).await?;
        let parked = |row: &Row| {
            let message: Option<String> = column(row, 2)?;
            let (id, function, message) = (column(row, 0)?, column(row, 1)?, message.unwrap_or_default());
            Ok(ParkedRun { id, function, message, event: event_at(row, 3)? })
        };
        rows.iter().map(parked).collect()
    }

    /// See [`crate::Store::prune_flow`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn prune_flow(&self, retention: FlowRetention, limit_rows: usize) -> Result<u64, StoreError> {
        let FlowRetention { runs_before, failed_before, events_before } = retention;
        let parameters: Parameters<'_> = &[&runs_before, &failed_before, &limit(limit_rows)];
        let runs = self.counted("removing old runs", statements::FLOW_RUNS_PRUNE, parameters).await?;
        let parameters: Parameters<'_> = &[&events_before, &limit(limit_rows)];
        Ok(runs + self.counted("removing old events", statements::FLOW_EVENTS_PRUNE, parameters).await?)
    }

    /// See [`crate::Store::register_flow_cron`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn register_flow_cron(
        &self,
        function: &str,
        schedule: &str,
        now: Timestamp,
    ) -> Result<Timestamp, StoreError> {
        let parameters: Parameters<'_> = &[&function, &schedule, &now];
        let operation = "registering a schedule";
        let rows = self.query(Patience::Answer, operation, statements::FLOW_CRON_REGISTER, parameters).await?;
        rows.first().map_or(Ok(now), |row| column(row, 0))
    }
}
