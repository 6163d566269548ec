//! The pace of runs. What each operation does stands at [`crate::Store`].

use jiff::Timestamp;
use rusqlite::Connection;

use super::job::Kind;
use super::{SqliteStore, times};
use crate::{FlowPace, StoreError};

impl SqliteStore {
    /// See [`crate::Store::flow_pace`].
    pub async fn flow_pace(&self, functions: &[String]) -> Result<FlowPace, StoreError> {
        let functions = serde_json::Value::from(functions).to_string();
        self.read("looking for what is due next", move |connection| {
            connection
                .prepare_cached(
                    "SELECT EXISTS (SELECT 1 FROM billhook_flow_runs WHERE rank IS NULL AND due_at IS NOT NULL AND state = 'running'), \
                     (SELECT min(due_at) FROM billhook_flow_runs WHERE rank IS NULL AND due_at IS NOT NULL AND state <> 'running' \
                     AND +function IN (SELECT value FROM json_each(?1))), \
                     (SELECT min(due_at) FROM billhook_flow_runs WHERE rank IS NOT NULL AND blocked_on IS NULL \
                     AND +function IN (SELECT value FROM json_each(?1))), \
                     (SELECT min(expires_at) FROM billhook_flow_runs WHERE expires_at IS NOT NULL), \
                     (SELECT min(scheduled_at) FROM billhook_flow_events WHERE scheduled_at IS NOT NULL)",
                )?
                .query_row([functions], |row| {
                    let times = [1, 2, 3, 4].map(|column| times::read_optional(row, column));
                    let times = times.into_iter().collect::<rusqlite::Result<Vec<Option<Timestamp>>>>()?;
                    Ok(FlowPace { is_running: row.get(0)?, next: times.into_iter().flatten().min() })
                })
        })
        .await
    }

    /// See [`crate::Store::release_all_flow_runs`].
    pub async fn release_all_flow_runs(&self, now: Timestamp) -> Result<u64, StoreError> {
        let release = move |connection: &Connection| {
            connection
                .prepare_cached(
                    // They keep their places at gates.
                    "UPDATE billhook_flow_runs SET state = 'queued', due_at = ?1, holder = NULL, is_nudged = FALSE, \
                     token = token + 1, crashes = max(crashes, 1) WHERE rank IS NULL AND due_at IS NOT NULL AND state = 'running'",
                )?
                .execute([times::precise(now)])
                .map(|runs| runs as u64)
        };
        self.write(Kind::Upkeep, 0, "giving all runs back", release).await
    }
}
