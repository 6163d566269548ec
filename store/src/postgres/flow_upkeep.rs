//! Upkeep of runs. What each operation does stands at [`crate::Store`].

use jiff::Timestamp;
use tokio_postgres::Row;

use super::control::Freed;
use super::flow::{columns, event_at};
use super::flow_runs::state;
use super::session::Patience;
use super::transaction::PostgresTransaction;
use super::{Parameters, PostgresStore, column, count, limit, statements};
use crate::flow_upkeep::STRAY;
use crate::{EndedRun, FlowRetention, FlowVersion, MissingVersions, ParkedRun, StoreError, StrayRuns};

impl PostgresStore {
    /// See [`crate::Store::expire_flow_runs`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn expire_flow_runs(&self, now: Timestamp, limit_runs: usize) -> Result<Vec<String>, StoreError> {
        let mut transaction = PostgresTransaction::begin(&self.shared).await?;
        let outcome = expire(&mut transaction, now, limit_runs).await;
        transaction.settle(outcome).await
    }

    /// See [`crate::Store::ended_flow_runs`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn ended_flow_runs(&self, limit_runs: usize) -> Result<Vec<EndedRun>, StoreError> {
        let operation = "looking for ended runs";
        let parameters: Parameters<'_> = &[&limit(limit_runs)];
        let rows = self.query(Patience::Housekeeping, operation, statements::FLOW_ENDED_READ, parameters).await?;
        let ended = |row: &Row| {
            let (id, function, token, state) = (column(row, 0)?, column(row, 1)?, column(row, 2)?, state(row, 3)?);
            let (result, message, event) = (column(row, 4)?, column(row, 5)?, event_at(row, 6)?);
            Ok(EndedRun { id, function, token, state, result, message, event })
        };
        rows.iter().map(ended).collect()
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

    /// See [`crate::Store::note_known_functions`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn note_known_functions(&self, functions: &[String], now: Timestamp) -> Result<(), StoreError> {
        let parameters: Parameters<'_> = &[&functions, &now];
        self.execute(Patience::Housekeeping, "noting functions", statements::FLOW_KNOWN_NOTE, parameters).await?;
        Ok(())
    }

    /// See [`crate::Store::park_stray_flow_runs`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn park_stray_flow_runs(&self, stray: StrayRuns) -> Result<Vec<(String, u64)>, StoreError> {
        let StrayRuns { known, since, now, limit: limit_runs } = stray;
        let parameters: Parameters<'_> = &[&since, &known, &now, &STRAY, &limit(limit_runs)];
        let operation = "parking runs of unknown functions";
        let rows = self.query(Patience::Housekeeping, operation, statements::FLOW_RUNS_PARK_STRAY, parameters).await?;
        rows.iter().map(|row| Ok((column(row, 0)?, count(column(row, 1)?)))).collect()
    }

    /// See [`crate::Store::take_in_flow_runs`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn take_in_flow_runs(
        &self,
        functions: &[String],
        now: Timestamp,
        limit_runs: usize,
    ) -> Result<u64, StoreError> {
        let parameters: Parameters<'_> = &[&functions, &STRAY, &now, &limit(limit_runs)];
        let operation = "taking in runs of known functions";
        self.execute(Patience::Housekeeping, operation, statements::FLOW_RUNS_TAKE_IN, parameters).await
    }

    /// See [`crate::Store::prune_flow`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn prune_flow(&self, retention: FlowRetention, limit_rows: usize) -> Result<u64, StoreError> {
        let FlowRetention { runs_before, failed_before, events_before } = retention;
        let parameters: Parameters<'_> = &[&runs_before, &failed_before, &limit(limit_rows)];
        let runs =
            self.execute(Patience::Housekeeping, "removing old runs", statements::FLOW_RUNS_PRUNE, parameters).await?;
        let parameters: Parameters<'_> = &[&runs_before, &limit(limit_rows)];
        let notes = self
            .execute(Patience::Housekeeping, "removing old notes", statements::FLOW_RUN_EVENTS_PRUNE, parameters)
            .await?;
        let parameters: Parameters<'_> = &[&events_before, &limit(limit_rows)];
        let events = self
            .execute(Patience::Housekeeping, "removing old events", statements::FLOW_EVENTS_PRUNE, parameters)
            .await?;
        let parameters: Parameters<'_> = &[&runs_before, &limit(limit_rows)];
        let paces = self
            .execute(Patience::Housekeeping, "removing old paces", statements::FLOW_PACES_PRUNE, parameters)
            .await?;
        Ok(runs + notes + events + paces)
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

async fn expire(
    transaction: &mut PostgresTransaction,
    now: Timestamp,
    limit_runs: usize,
) -> Result<Vec<String>, StoreError> {
    let parameters: Parameters<'_> = &[&now, &limit(limit_runs)];
    let operation = "ending runs whose time is over";
    let rows = transaction.query(operation, statements::FLOW_RUNS_EXPIRE, parameters).await?;
    let mut freed = Freed::default();
    rows.iter().try_for_each(|row| freed.add(row, 1))?;
    freed.open(transaction, now).await?;
    rows.iter().map(|row| column(row, 0)).collect()
}
