//! The pace of runs. What each operation does stands at [`crate::Store`].

use jiff::Timestamp;

use super::session::Patience;
use super::{PostgresStore, column, statements};
use crate::{FlowPace, StoreError};

impl PostgresStore {
    /// See [`crate::Store::flow_pace`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn flow_pace(&self, functions: &[String]) -> Result<FlowPace, StoreError> {
        let rows =
            self.query(Patience::Answer, "looking for what is due next", statements::FLOW_PACE, &[&functions]).await?;
        let pace = rows.first().map(|row| Ok(FlowPace { is_running: column(row, 0)?, next: column(row, 1)? }));
        pace.unwrap_or(Ok(FlowPace { is_running: false, next: None }))
    }

    /// See [`crate::Store::release_all_flow_runs`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn release_all_flow_runs(&self, now: Timestamp) -> Result<u64, StoreError> {
        self.execute(Patience::Housekeeping, "giving all runs back", statements::FLOW_RUNS_RELEASE_ALL, &[&now]).await
    }
}
