//! Runs of durable functions. The writer is alone, so a lease that is looked at stays as it is until the commit.

use billhook_core::run::RunState;
use billhook_core::step::StepKey;
use jiff::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, Error, OptionalExtension, Row, params};

use super::inbox::whole;
use super::job::Kind;
use super::{SqliteStore, times};
use crate::{ClaimedRun, FlowEvent, FlowRun, NewFlowRun, RunCommit, RunNext, StepRecord, StoreError};

impl SqliteStore {
    /// See [`crate::Store::claim_flow_runs`].
    pub async fn claim_flow_runs(
        &self,
        holder: &str,
        functions: &[String],
        now: Timestamp,
        lease_until: Timestamp,
        limit: usize,
    ) -> Result<Vec<ClaimedRun>, StoreError> {
        let (holder, functions) = (holder.to_owned(), functions.to_vec());
        let take = move |connection: &Connection| claim(connection, &holder, &functions, now, lease_until, limit);
        self.write(Kind::Upkeep, 0, "claiming runs", take).await
    }

    /// See [`crate::Store::commit_flow_runs`].
    pub async fn commit_flow_runs(&self, commits: Vec<RunCommit>, now: Timestamp) -> Result<Vec<bool>, StoreError> {
        let write = move |connection: &Connection| commits.iter().map(|one| commit(connection, one, now)).collect();
        self.write(Kind::Apply, 0, "recording what runs did", write).await
    }

    /// See [`crate::Store::renew_flow_runs`].
    pub async fn renew_flow_runs(
        &self,
        runs: &[(String, i64)],
        lease_until: Timestamp,
    ) -> Result<Vec<String>, StoreError> {
        let runs = runs.to_vec();
        let renew = move |connection: &Connection| renew(connection, &runs, lease_until);
        self.write(Kind::Upkeep, 0, "lengthening leases of runs", renew).await
    }

    /// See [`crate::Store::next_flow_due`].
    pub async fn next_flow_due(&self) -> Result<Option<Timestamp>, StoreError> {
        self.read("looking for the next run", |connection| {
            connection
                .prepare_cached("SELECT min(due_at) FROM billhook_flow_runs WHERE due_at IS NOT NULL")?
                .query_row([], |row| times::read_optional(row, 0))
        })
        .await
    }

    /// See [`crate::Store::flow_run`].
    pub async fn flow_run(&self, id: &str) -> Result<Option<FlowRun>, StoreError> {
        let id = id.to_owned();
        self.read("reading a run", move |connection| {
            connection
                .prepare_cached(
                    "SELECT id, function, event_id, state, due_at, failures, created_at, started_at, ended_at, result, message \
                     FROM billhook_flow_runs WHERE id = ?1",
                )?
                .query_row([id], run)
                .optional()
        })
        .await
    }

    /// See [`crate::Store::flow_steps`].
    pub async fn flow_steps(&self, run: &str) -> Result<Vec<(StepKey, String)>, StoreError> {
        let run = run.to_owned();
        self.read("reading steps", move |connection| steps(connection, &run)).await
    }
}

/// See [`crate::Transaction::start_flow_runs`].
pub(super) fn start(connection: &Connection, runs: &[NewFlowRun], now: Timestamp) -> rusqlite::Result<Vec<bool>> {
    let mut event = connection.prepare_cached(
        "INSERT INTO billhook_flow_events (id, name, data, ts, received_at) VALUES (?1, ?2, ?3, ?4, ?5) \
         ON CONFLICT (id) DO NOTHING",
    )?;
    let mut insert = connection.prepare_cached(
        "INSERT INTO billhook_flow_runs (id, function, dedupe_key, event_id, state, due_at, created_at) \
         VALUES (?1, ?2, ?3, ?4, 'queued', ?5, ?6) ON CONFLICT (function, dedupe_key) DO NOTHING",
    )?;
    let now = times::precise(now);
    let mut start = |run: &NewFlowRun| {
        let FlowEvent { id, name, data, ts } = &run.event;
        event.execute(params![id, name, data, times::precise(*ts), now])?;
        let due_at = times::precise(run.due_at);
        Ok(insert.execute(params![run.id, run.function, run.dedupe_key, id, due_at, now])? == 1)
    };
    runs.iter().map(&mut start).collect()
}

fn claim(
    connection: &Connection,
    holder: &str,
    functions: &[String],
    now: Timestamp,
    lease_until: Timestamp,
    limit: usize,
) -> rusqlite::Result<Vec<ClaimedRun>> {
    let names = serde_json::Value::from(functions).to_string();
    let mut due = connection.prepare_cached(
        "SELECT run.id, run.function, run.token + 1, run.failures, event.id, event.name, event.data, event.ts \
         FROM billhook_flow_runs AS run JOIN billhook_flow_events AS event ON event.id = run.event_id \
         WHERE run.due_at <= ?1 AND run.function IN (SELECT value FROM json_each(?2)) \
         ORDER BY run.due_at, run.id LIMIT ?3",
    )?;
    let mut runs: Vec<ClaimedRun> =
        due.query_map(params![times::precise(now), names, whole(limit)], claimed)?.collect::<rusqlite::Result<_>>()?;
    let mut take = connection.prepare_cached(
        "UPDATE billhook_flow_runs SET token = ?2, holder = ?3, state = 'running', due_at = ?4, \
         started_at = coalesce(started_at, ?5) WHERE id = ?1",
    )?;
    for run in &mut runs {
        take.execute(params![run.id, run.token, holder, times::precise(lease_until), times::precise(now)])?;
        run.memos = steps(connection, &run.id)?;
    }
    Ok(runs)
}

fn steps(connection: &Connection, run: &str) -> rusqlite::Result<Vec<(StepKey, String)>> {
    connection
        .prepare_cached(
            "SELECT step, occurrence, memo FROM billhook_flow_steps WHERE run = ?1 ORDER BY recorded_at, step, occurrence",
        )?
        .query_map([run], |row| Ok((StepKey::new(row.get::<_, String>(0)?, row.get(1)?), row.get(2)?)))?
        .collect()
}

pub(super) fn commit(connection: &Connection, commit: &RunCommit, now: Timestamp) -> rusqlite::Result<bool> {
    let is_held = connection
        .prepare_cached("SELECT 1 FROM billhook_flow_runs WHERE id = ?1 AND token = ?2 AND state = 'running'")?
        .exists(params![commit.run, commit.token])?;
    if !is_held {
        return Ok(false);
    }
    let mut record = connection.prepare_cached(
        "INSERT INTO billhook_flow_steps AS stored (run, step, occurrence, memo, is_final, recorded_at) \
         VALUES (?1, ?2, ?3, ?4, ?5, ?6) ON CONFLICT (run, step, occurrence) DO UPDATE SET \
         memo = excluded.memo, is_final = excluded.is_final, recorded_at = excluded.recorded_at WHERE NOT stored.is_final",
    )?;
    let now = times::precise(now);
    for StepRecord { key, memo, is_final } in &commit.records {
        record.execute(params![commit.run, key.id, key.occurrence, memo, is_final, now])?;
    }
    if let Some(RunNext { state, due_at, failures, result, message }) = &commit.next {
        let ended_at = state.is_over().then_some(&now);
        connection
            .prepare_cached(
                "UPDATE billhook_flow_runs SET state = ?2, due_at = ?3, holder = NULL, failures = ?4, result = ?5, \
                 message = ?6, ended_at = ?7 WHERE id = ?1",
            )?
            .execute(params![
                commit.run,
                state.name(),
                due_at.map(times::precise),
                failures,
                result,
                message,
                ended_at
            ])?;
    }
    Ok(true)
}

fn renew(connection: &Connection, runs: &[(String, i64)], lease_until: Timestamp) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare_cached(
        "UPDATE billhook_flow_runs SET due_at = ?3 WHERE id = ?1 AND token = ?2 AND state = 'running'",
    )?;
    let due_at = times::precise(lease_until);
    let mut renewed = Vec::with_capacity(runs.len());
    for (id, token) in runs {
        if statement.execute(params![id, token, due_at])? == 1 {
            renewed.push(id.clone());
        }
    }
    Ok(renewed)
}

fn claimed(row: &Row<'_>) -> rusqlite::Result<ClaimedRun> {
    let event = FlowEvent { id: row.get(4)?, name: row.get(5)?, data: row.get(6)?, ts: times::read(row, 7)? };
    Ok(ClaimedRun {
        id: row.get(0)?,
        function: row.get(1)?,
        token: row.get(2)?,
        failures: row.get(3)?,
        event,
        memos: Vec::new(),
    })
}

fn run(row: &Row<'_>) -> rusqlite::Result<FlowRun> {
    let unknown = || Error::FromSqlConversionFailure(3, Type::Text, "an unknown state of a run".into());
    Ok(FlowRun {
        id: row.get(0)?,
        function: row.get(1)?,
        event_id: row.get(2)?,
        state: RunState::from_name(row.get_ref(3)?.as_str()?).ok_or_else(unknown)?,
        due_at: times::read_optional(row, 4)?,
        failures: row.get(5)?,
        created_at: times::read(row, 6)?,
        started_at: times::read_optional(row, 7)?,
        ended_at: times::read_optional(row, 8)?,
        result: row.get(9)?,
        message: row.get(10)?,
    })
}
