//! Upkeep of runs. What each operation does stands at [`crate::Store`].

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::{Connection, params};

use super::control::{gates_at, leave};
use super::flow::event_at;
use super::flow_runs::state;
use super::inbox::whole;
use super::job::Kind;
use super::publish::{forget, forget_all};
use super::{SqliteStore, times};
use crate::flow_upkeep::STRAY;
use crate::{EndedRun, FlowRetention, FlowVersion, MissingVersions, ParkedRun, StoreError, StrayRuns};

impl SqliteStore {
    /// See [`crate::Store::expire_flow_runs`].
    pub async fn expire_flow_runs(&self, now: Timestamp, limit: usize) -> Result<Vec<String>, StoreError> {
        let expire = move |connection: &Connection| {
            let expired = connection
                .prepare_cached(
                    "UPDATE billhook_flow_runs SET state = 'expired', due_at = NULL, holder = NULL, token = token + 1, \
                     expires_at = NULL, parked_at = NULL, ended_at = ?1, message = CASE WHEN started_at IS NULL \
                     THEN 'it did not begin in time' ELSE 'it did not end in time' END, rank = NULL, holds = 0, \
                     blocked_on = NULL, blocked_places = NULL, slot = NULL, pause = NULL WHERE id IN \
                     (SELECT id FROM billhook_flow_runs WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2) \
                     RETURNING id, gate_1, gate_2",
                )?
                .query_map(params![times::precise(now), whole(limit)], |row| Ok((row.get(0)?, gates_at(row, 1)?)))?
                .collect::<rusqlite::Result<Vec<(String, [Option<String>; 2])>>>()?;
            for (run, _) in &expired {
                forget(connection, run)?;
                note_ended(connection, run)?;
            }
            // After all of them, or one that expires in the same look would be let go.
            expired.iter().try_for_each(|(_, gates)| leave(connection, gates, now))?;
            Ok(expired.into_iter().map(|(run, _)| run).collect())
        };
        self.write(Kind::Upkeep, 0, "ending runs whose time is over", expire).await
    }

    /// See [`crate::Store::ended_flow_runs`].
    pub async fn ended_flow_runs(&self, limit: usize) -> Result<Vec<EndedRun>, StoreError> {
        self.read("looking for ended runs", move |connection| {
            connection
                .prepare_cached(
                    "SELECT run.id, run.function, run.token, run.state, run.result, run.message, \
                     event.key, event.id, event.name, event.data, event.ts FROM billhook_flow_ended AS ended \
                     JOIN billhook_flow_runs AS run ON run.id = ended.run \
                     JOIN billhook_flow_events AS event ON event.key = run.event_key ORDER BY ended.run LIMIT ?1",
                )?
                .query_map([whole(limit)], |row| {
                    let (id, function, token, state) = (row.get(0)?, row.get(1)?, row.get(2)?, state(row, 3)?);
                    let (result, message, event) = (row.get(4)?, row.get(5)?, event_at(row, 6)?);
                    Ok(EndedRun { id, function, token, state, result, message, event })
                })?
                .collect()
        })
        .await
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
                     parked_at = ?1, message = replace(?5, '{version}', version), rank = NULL, holds = 0, slot = NULL, pause = NULL \
                     WHERE id IN (SELECT id FROM (\
                     SELECT id, function, version, due_at FROM billhook_flow_runs WHERE rank IS NULL AND due_at <= ?2 UNION ALL \
                     SELECT id, function, version, due_at FROM billhook_flow_runs \
                     WHERE rank IS NOT NULL AND blocked_on IS NULL AND due_at <= ?2) AS run WHERE version IS NOT NULL \
                     AND +function IN (SELECT value FROM json_each(?3)) AND NOT EXISTS \
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

    /// See [`crate::Store::note_known_functions`].
    pub async fn note_known_functions(&self, functions: &[String], now: Timestamp) -> Result<(), StoreError> {
        let functions = functions.to_vec();
        let note = move |connection: &Connection| {
            let mut note = connection.prepare_cached(
                "INSERT INTO billhook_flow_known_functions AS known (id, seen_at) VALUES (?1, ?2) \
                 ON CONFLICT (id) DO UPDATE SET seen_at = max(known.seen_at, excluded.seen_at)",
            )?;
            functions.iter().try_for_each(|id| note.execute(params![id, times::precise(now)]).map(drop))
        };
        self.write(Kind::Upkeep, 0, "noting functions", note).await
    }

    /// See [`crate::Store::park_stray_flow_runs`].
    pub async fn park_stray_flow_runs(&self, stray: StrayRuns) -> Result<Vec<(String, u64)>, StoreError> {
        let park = move |connection: &Connection| park_stray(connection, &stray);
        self.write(Kind::Upkeep, 0, "parking runs of unknown functions", park).await
    }

    /// See [`crate::Store::take_in_flow_runs`].
    pub async fn take_in_flow_runs(
        &self,
        functions: &[String],
        now: Timestamp,
        limit: usize,
    ) -> Result<u64, StoreError> {
        let functions = serde_json::Value::from(functions).to_string();
        let take_in = move |connection: &Connection| {
            connection
                .prepare_cached(
                    "UPDATE billhook_flow_runs SET token = token + 1, state = 'queued', due_at = ?3, parked_at = NULL, \
                     message = NULL WHERE id IN (SELECT id FROM billhook_flow_runs WHERE parked_at IS NOT NULL \
                     AND state = 'parked' AND +function IN (SELECT value FROM json_each(?1)) \
                     AND message = ?2 || function ORDER BY id LIMIT ?4)",
                )?
                .execute(params![functions, STRAY, times::precise(now), whole(limit)])
                .map(|runs| runs as u64)
        };
        self.write(Kind::Upkeep, 0, "taking in runs of known functions", take_in).await
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
                forget_all(connection, run)?;
                connection.prepare_cached("DELETE FROM billhook_flow_run_events WHERE run = ?1")?.execute([run])?;
                connection.prepare_cached("DELETE FROM billhook_flow_runs WHERE id = ?1")?.execute([run])?;
            }
            let notes = connection
                .prepare_cached(
                    "DELETE FROM billhook_flow_run_events WHERE (function, dedupe_key) IN \
                     (SELECT function, dedupe_key FROM billhook_flow_run_events WHERE run IS NULL AND noted_at < ?1 \
                     ORDER BY noted_at LIMIT ?2)",
                )?
                .execute(params![times::precise(runs_before), whole(limit)])?;
            let events = connection
                .prepare_cached(
                    "DELETE FROM billhook_flow_events WHERE key IN (SELECT key FROM billhook_flow_events AS event \
                     WHERE received_at < ?1 AND scheduled_at IS NULL AND NOT EXISTS \
                     (SELECT 1 FROM billhook_flow_runs AS run WHERE run.event_key = event.key) AND NOT EXISTS \
                     (SELECT 1 FROM billhook_flow_run_events AS joined WHERE joined.event_key = event.key) LIMIT ?2)",
                )?
                .execute(params![times::precise(events_before), whole(limit)])?;
            let paces = connection
                .prepare_cached(
                    "DELETE FROM billhook_flow_paces WHERE key IN \
                     (SELECT key FROM billhook_flow_paces WHERE next_at < ?1 ORDER BY next_at LIMIT ?2)",
                )?
                .execute(params![times::precise(runs_before), whole(limit)])?;
            Ok((old.len() + notes + events + paces) as u64)
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

/// Notes a run that ended without its function; see [`crate::Store::ended_flow_runs`].
pub(super) fn note_ended(connection: &Connection, run: &str) -> rusqlite::Result<()> {
    connection
        .prepare_cached("INSERT INTO billhook_flow_ended (run) VALUES (?1) ON CONFLICT DO NOTHING")?
        .execute([run])
        .map(drop)
}

/// See [`crate::Transaction::take_ended_flow_runs`].
pub(super) fn take_ended(connection: &Connection, runs: &[String]) -> rusqlite::Result<Vec<String>> {
    let mut take = connection.prepare_cached("DELETE FROM billhook_flow_ended WHERE run = ?1")?;
    let mut taken = Vec::new();
    for run in runs {
        if take.execute([run])? == 1 {
            taken.push(run.clone());
        }
    }
    Ok(taken)
}

/// What was due at that time or before has waited for long, and a function that was not seen since is known to nobody. Places at gates that
/// they had are found free when gates are swept.
fn park_stray(connection: &Connection, stray: &StrayRuns) -> rusqlite::Result<Vec<(String, u64)>> {
    let StrayRuns { known, since, now, limit } = stray;
    let known = serde_json::Value::from(known.as_slice()).to_string();
    let functions = connection
        .prepare_cached(
            "UPDATE billhook_flow_runs SET token = token + 1, state = 'parked', due_at = NULL, holder = NULL, is_nudged = FALSE, \
             parked_at = ?3, message = ?4 || function, rank = NULL, holds = 0, slot = NULL, pause = NULL WHERE id IN \
             (SELECT run.id FROM (\
             SELECT id, function, due_at FROM billhook_flow_runs WHERE rank IS NULL AND due_at <= ?1 UNION ALL \
             SELECT id, function, due_at FROM billhook_flow_runs WHERE rank IS NOT NULL AND blocked_on IS NULL AND due_at <= ?1\
             ) AS run WHERE run.function NOT IN (SELECT value FROM json_each(?2)) \
             AND NOT EXISTS (SELECT 1 FROM billhook_flow_known_functions AS known \
             WHERE known.id = run.function AND known.seen_at > ?1) \
             AND NOT EXISTS (SELECT 1 FROM billhook_flow_functions AS paused WHERE paused.id = run.function) \
             ORDER BY run.due_at, run.id LIMIT ?5) RETURNING function",
        )?
        .query_map(params![times::precise(*since), known, times::precise(*now), STRAY, whole(*limit)], |row| row.get(0))?
        .collect::<rusqlite::Result<Vec<String>>>()?;
    let mut counts = BTreeMap::new();
    for function in functions {
        *counts.entry(function).or_default() += 1;
    }
    Ok(counts.into_iter().collect())
}
