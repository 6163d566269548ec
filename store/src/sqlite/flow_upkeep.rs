//! Upkeep of runs. What each operation does stands at [`crate::Store`].

use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::flow::event_at;
use super::inbox::whole;
use super::job::Kind;
use super::publish::forget;
use super::{SqliteStore, times};
use crate::{FlowRetention, FlowVersion, MissingVersions, ParkedRun, StoreError};

impl SqliteStore {
    /// See [`crate::Store::expire_flow_runs`].
    pub async fn expire_flow_runs(&self, now: Timestamp, limit: usize) -> Result<Vec<String>, StoreError> {
        let expire = move |connection: &Connection| {
            let expired = connection
                .prepare_cached(
                    "UPDATE billhook_flow_runs SET state = 'expired', due_at = NULL, holder = NULL, token = token + 1, \
                     expires_at = NULL, parked_at = NULL, ended_at = ?1, message = CASE WHEN started_at IS NULL \
                     THEN 'it did not begin in time' ELSE 'it did not end in time' END WHERE id IN \
                     (SELECT id FROM billhook_flow_runs WHERE expires_at <= ?1 ORDER BY id LIMIT ?2) RETURNING id",
                )?
                .query_map(params![times::precise(now), whole(limit)], |row| row.get(0))?
                .collect::<rusqlite::Result<Vec<String>>>()?;
            expired.iter().try_for_each(|run| forget(connection, run))?;
            Ok(expired)
        };
        self.write(Kind::Upkeep, 0, "ending runs whose time is over", expire).await
    }

    /// See [`crate::Store::note_flow_versions`].
    pub async fn note_flow_versions(&self, versions: &[FlowVersion], now: Timestamp) -> Result<(), StoreError> {
        let versions = versions.to_vec();
        let note = move |connection: &Connection| {
            let mut seen = connection.prepare_cached(
                "INSERT INTO billhook_flow_versions AS known (function, version, seen_at) VALUES (?1, ?2, ?3) \
                 ON CONFLICT (function, version) DO UPDATE SET seen_at = max(known.seen_at, excluded.seen_at)",
            )?;
            let now = times::precise(now);
            versions.iter().try_for_each(|one| seen.execute(params![one.function, one.version, now]).map(drop))
        };
        self.write(Kind::Upkeep, 0, "noting versions of functions", note).await
    }

    /// See [`crate::Store::park_missing_versions`].
    pub async fn park_missing_versions(
        &self,
        missing: &MissingVersions,
        now: Timestamp,
    ) -> Result<Vec<String>, StoreError> {
        let MissingVersions { functions, since, message, limit } = missing.clone();
        let park = move |connection: &Connection| {
            connection
                .prepare_cached(
                    "UPDATE billhook_flow_runs SET state = 'parked', due_at = NULL, holder = NULL, token = token + 1, \
                     parked_at = ?1, message = replace(?5, '{version}', version) WHERE id IN \
                     (SELECT id FROM billhook_flow_runs AS run WHERE due_at <= ?2 AND version IS NOT NULL \
                     AND function IN (SELECT value FROM json_each(?3)) AND NOT EXISTS \
                     (SELECT 1 FROM billhook_flow_versions AS seen WHERE seen.function = run.function \
                     AND seen.version = run.version AND seen.seen_at > ?2) ORDER BY due_at LIMIT ?4) RETURNING id",
                )?
                .query_map(
                    params![
                        times::precise(now),
                        times::precise(since),
                        serde_json::Value::from(functions.as_slice()).to_string(),
                        whole(limit),
                        message
                    ],
                    |row| row.get(0),
                )?
                .collect()
        };
        self.write(Kind::Upkeep, 0, "parking runs whose version is missing", park).await
    }

    /// See [`crate::Store::parked_flow_runs`].
    pub async fn parked_flow_runs(&self, until: Timestamp, limit: usize) -> Result<Vec<ParkedRun>, StoreError> {
        self.read("looking for parked runs", move |connection| {
            connection
                .prepare_cached(
                    "SELECT run.id, run.function, coalesce(run.message, ''), event.key, event.id, event.name, event.data, event.ts \
                     FROM billhook_flow_runs AS run JOIN billhook_flow_events AS event ON event.key = run.event_key \
                     WHERE run.parked_at <= ?1 ORDER BY run.parked_at LIMIT ?2",
                )?
                .query_map(params![times::precise(until), whole(limit)], |row| {
                    let (id, function, message) = (row.get(0)?, row.get(1)?, row.get(2)?);
                    Ok(ParkedRun { id, function, message, event: event_at(row, 3)? })
                })?
                .collect()
        })
        .await
    }

    /// See [`crate::Store::prune_flow`].
    pub async fn prune_flow(&self, retention: FlowRetention, limit: usize) -> Result<u64, StoreError> {
        let FlowRetention { runs_before, failed_before, events_before } = retention;
        let prune = move |connection: &Connection| {
            let old = connection
                .prepare_cached(
                    "SELECT id FROM billhook_flow_runs WHERE ended_at < ?1 AND (state <> 'failed' OR ended_at < ?2) \
                     ORDER BY ended_at LIMIT ?3",
                )?
                .query_map(params![times::precise(runs_before), times::precise(failed_before), whole(limit)], |row| {
                    row.get(0)
                })?
                .collect::<rusqlite::Result<Vec<String>>>()?;
            for run in &old {
                connection.prepare_cached("DELETE FROM billhook_flow_steps WHERE run = ?1")?.execute([run])?;
                connection.prepare_cached("DELETE FROM billhook_flow_waits WHERE run = ?1")?.execute([run])?;
                connection.prepare_cached("DELETE FROM billhook_flow_runs WHERE id = ?1")?.execute([run])?;
            }
            let events = connection
                .prepare_cached(
                    "DELETE FROM billhook_flow_events WHERE key IN (SELECT key FROM billhook_flow_events AS event \
                     WHERE received_at < ?1 AND scheduled_at IS NULL AND NOT EXISTS \
                     (SELECT 1 FROM billhook_flow_runs AS run WHERE run.event_key = event.key) LIMIT ?2)",
                )?
                .execute(params![times::precise(events_before), whole(limit)])?;
            Ok((old.len() + events) as u64)
        };
        self.write(Kind::Upkeep, 0, "removing old runs", prune).await
    }

    /// See [`crate::Store::register_flow_cron`].
    pub async fn register_flow_cron(
        &self,
        function: &str,
        schedule: &str,
        now: Timestamp,
    ) -> Result<Timestamp, StoreError> {
        let (function, schedule) = (function.to_owned(), schedule.to_owned());
        let register = move |connection: &Connection| {
            connection
                .prepare_cached(
                    "INSERT INTO billhook_flow_crons (function, schedule, last_at) VALUES (?1, ?2, ?3) \
                     ON CONFLICT (function, schedule) DO UPDATE SET function = excluded.function RETURNING last_at",
                )?
                .query_row(params![function, schedule, times::precise(now)], |row| times::read(row, 0))
        };
        self.write(Kind::Upkeep, 0, "registering a schedule", register).await
    }
}

/// See [`crate::Transaction::take_flow_cron`].
pub(super) fn take_cron(
    connection: &Connection,
    function: &str,
    schedule: &str,
    last: Timestamp,
    to: Timestamp,
) -> rusqlite::Result<bool> {
    let moved = connection
        .prepare_cached(
            "UPDATE billhook_flow_crons SET last_at = ?4 WHERE function = ?1 AND schedule = ?2 AND last_at = ?3",
        )?
        .execute(params![function, schedule, times::precise(last), times::precise(to)])?;
    Ok(moved == 1)
}

/// See [`crate::Transaction::fail_parked_flow_run`].
pub(super) fn fail_parked(connection: &Connection, run: &str, now: Timestamp) -> rusqlite::Result<bool> {
    let failed = connection
        .prepare_cached(
            "UPDATE billhook_flow_runs SET state = 'failed', parked_at = NULL, expires_at = NULL, ended_at = ?2, \
             message = 'parked: ' || message WHERE id = ?1 AND state = 'parked'",
        )?
        .execute(params![run, times::precise(now)])?;
    forget(connection, run)?;
    Ok(failed == 1)
}
