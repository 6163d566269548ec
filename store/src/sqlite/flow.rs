//! Runs of durable functions. The writer is alone, so a lease that is looked at stays as it is until the commit.

use std::sync::Arc;

use billhook_core::run::RunState;
use billhook_core::step::StepKey;
use jiff::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, Error, OptionalExtension, Row, params};
use serde_json::Value;

use super::control::{gates_at, leave, through};
use super::inbox::whole;
use super::job::Kind;
use super::{SqliteStore, publish, times};
use crate::control::{Candidate, not_put_off};
use crate::flow::{CLAIM_ROUNDS, CommitPassed, LOOKBACK_MAX, SEQUENCE_SLACK};
use crate::{
    Blocked, ClaimedRun, EventName, FlowClaim, FlowEvent, FlowRun, FlowVersion, Lookback, Pause, Publication,
    RunCommit, RunNext, Seen, StepRecord, StoreError, WaitMatcher,
};

impl SqliteStore {
    /// See [`crate::Store::claim_flow_runs`].
    pub async fn claim_flow_runs(&self, request: FlowClaim) -> Result<Vec<ClaimedRun>, StoreError> {
        self.write(Kind::Upkeep, 0, "claiming runs", move |connection: &Connection| claim(connection, &request)).await
    }

    /// See [`crate::Store::commit_flow_runs`].
    pub async fn commit_flow_runs(
        &self,
        commits: Vec<RunCommit>,
        matcher: Arc<dyn WaitMatcher>,
        now: Timestamp,
    ) -> Result<Vec<bool>, StoreError> {
        let write = move |connection: &Connection| {
            let written: rusqlite::Result<Vec<bool>> =
                commits.iter().map(|one| commit(connection, one, &*matcher, now)).collect();
            CommitPassed::of(&commits).hit("before_record_commit", "before_end_commit");
            written
        };
        self.write(Kind::Apply, 0, "recording what runs did", write).await
    }

    /// See [`crate::Store::release_flow_runs`].
    pub async fn release_flow_runs(&self, runs: &[(String, i64)], now: Timestamp) -> Result<(), StoreError> {
        let runs = runs.to_vec();
        let release = move |connection: &Connection| {
            runs.iter().try_for_each(|(id, token)| give_back(connection, id, *token, now))
        };
        self.write(Kind::Upkeep, 0, "giving runs back", release).await
    }

    /// See [`crate::Store::flow_lookback`].
    pub async fn flow_lookback(&self, lookback: &Lookback) -> Result<Seen, StoreError> {
        let lookback = lookback.clone();
        self.read("looking for earlier events", move |connection| seen(connection, &lookback)).await
    }

    /// See [`crate::Store::due_flow_events`].
    pub async fn due_flow_events(
        &self,
        now: Timestamp,
        limit: usize,
    ) -> Result<(Vec<FlowEvent>, Option<Timestamp>), StoreError> {
        self.read("looking for scheduled events", move |connection| {
            let mut statement = connection.prepare_cached(
                "SELECT key, id, name, data, ts, scheduled_at FROM billhook_flow_events \
                 WHERE scheduled_at IS NOT NULL ORDER BY scheduled_at, key LIMIT ?1",
            )?;
            let mut rows = statement.query([whole(limit)])?;
            let mut due = Vec::new();
            while let Some(row) = rows.next()? {
                let at = times::read(row, 5)?;
                if at > now {
                    return Ok((due, Some(at)));
                }
                due.push(event_at(row, 0)?);
            }
            Ok((due, None))
        })
        .await
    }

    /// See [`crate::Store::cancel_flow_event`].
    pub async fn cancel_flow_event(&self, key: &str, now: Timestamp) -> Result<bool, StoreError> {
        let key = key.to_owned();
        let cancel = move |connection: &Connection| {
            let changed = connection
                .prepare_cached(
                    "UPDATE billhook_flow_events SET scheduled_at = NULL, cancelled_at = ?2 \
                     WHERE key = ?1 AND scheduled_at > ?2",
                )?
                .execute(params![key, times::precise(now)])?;
            Ok(changed > 0)
        };
        self.write(Kind::Upkeep, 0, "calling off a scheduled event", cancel).await
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
                .prepare_cached(
                    "SELECT min(due_at) FROM ( \
                     SELECT min(due_at) AS due_at FROM billhook_flow_runs WHERE rank IS NULL AND due_at IS NOT NULL \
                     UNION ALL SELECT due_at FROM (SELECT due_at FROM billhook_flow_runs \
                     WHERE rank IS NOT NULL AND blocked_on IS NULL ORDER BY rank LIMIT 1))",
                )?
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
                    "SELECT id, function, event_key, state, due_at, failures, created_at, started_at, ended_at, result, message, \
                     blocked_on, (SELECT count(*) FROM billhook_flow_runs AS other \
                     WHERE other.gate_1 = run.blocked_on AND other.holds >= 1) + (SELECT count(*) \
                     FROM billhook_flow_runs AS other WHERE other.gate_2 = run.blocked_on AND other.holds >= 2), \
                     blocked_places, pause, events, events_max FROM billhook_flow_runs AS run WHERE id = ?1",
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

/// The statements of a claim: runs whose time has come, and runs that are ready.
fn due_sql() -> [String; 2] {
    const COLUMNS: &str = "SELECT run.id, run.function, run.token + 1, run.failures, run.crashes + (run.state = 'running'), \
        run.started_at IS NULL, run.created_at, event.key, event.id, event.name, event.data, event.ts, run.state, run.rank, \
        run.events_max > 1, run.gate_1, run.gate_2, run.holds, \
        coalesce(run.version, (SELECT value ->> 1 FROM json_each(?3) WHERE value ->> 0 = run.function)) \
        FROM billhook_flow_runs AS run JOIN billhook_flow_events AS event ON event.key = run.event_key";
    // A run of a function of which each version executes its own begins with any and goes on with that one.
    // By the plus signs no index of functions is taken: it holds what has ended as well.
    const MINE: &str = "+run.function IN (SELECT value FROM json_each(?2)) \
        AND (run.version IS NULL OR +run.function NOT IN (SELECT value ->> 0 FROM json_each(?4)) \
        OR (+run.function, run.version) IN (SELECT value ->> 0, value ->> 1 FROM json_each(?4)))";
    [
        format!(
            "{COLUMNS} WHERE run.rank IS NULL AND run.due_at <= ?1 AND {MINE} ORDER BY run.due_at, run.id LIMIT ?5"
        ),
        format!(
            "{COLUMNS} WHERE run.rank IS NOT NULL AND run.blocked_on IS NULL AND {MINE} ORDER BY run.rank, run.id LIMIT ?5"
        ),
    ]
}

/// Runs that may be claimed: what is asked for of both kinds, in turn one whose time has come and one that is ready.
fn due(connection: &Connection, request: &FlowClaim, limit: usize) -> rusqlite::Result<Vec<Due>> {
    let names = Value::from(request.functions.as_slice()).to_string();
    let (newest, pinned) = (pairs(&request.newest), pairs(&request.pinned));
    let parameters = params![times::precise(request.now), names, newest, pinned, whole(limit)];
    let [timers, ready] = due_sql().map(|sql| {
        connection.prepare_cached(&sql)?.query_map(parameters, due_run)?.collect::<rusqlite::Result<Vec<Due>>>()
    });
    let (mut timers, mut ready, mut due) = (timers?.into_iter(), ready?.into_iter(), Vec::new());
    while due.len() < limit {
        let before = due.len();
        due.extend(timers.next().into_iter().chain(ready.next()));
        if due.len() == before {
            break;
        }
    }
    due.truncate(limit);
    Ok(due)
}

/// A run that may be claimed.
struct Due {
    run: ClaimedRun,
    candidate: Candidate,
    has_waited: bool,
    is_batch: bool,
}

fn due_run(row: &Row<'_>) -> rusqlite::Result<Due> {
    let run = claimed(row)?;
    let state = row.get_ref(12)?.as_str()?;
    let gates = gates_at(row, 15)?.into_iter().flatten().collect();
    let (id, is_held, has_waited) =
        (run.id.clone(), state == RunState::Running.name(), state == RunState::Waiting.name());
    let holds = usize::from(row.get::<_, u8>(17)?);
    let candidate = Candidate { id, gates, holds, is_held, crashes: run.crashes };
    Ok(Due { run, candidate, has_waited, is_batch: row.get(14)? })
}

fn claim(connection: &Connection, request: &FlowClaim) -> rusqlite::Result<Vec<ClaimedRun>> {
    let (mut claimed, mut suspects) = (Vec::new(), request.suspects);
    for _ in 0..CLAIM_ROUNDS {
        let room = request.limit.saturating_sub(claimed.len());
        let mut due = due(connection, request, room)?;
        let is_last = due.len() < room;
        let candidates = due.iter().map(|one| one.candidate.clone()).collect();
        let (candidates, later) = not_put_off(candidates, &mut suspects, request.now);
        later.iter().try_for_each(|(one, at)| put_off(connection, one, *at))?;
        let holds = through(connection, &candidates, &request.places)?;
        due.retain(|one| holds.contains_key(&one.run.id));
        for one in due {
            let holds = holds.get(&one.run.id).copied().unwrap_or_default();
            claimed.push(take(connection, one, holds, request)?);
        }
        if is_last || claimed.len() >= request.limit {
            break;
        }
    }
    Ok(claimed)
}

/// It is held by nobody, and keeps the places at gates that it has.
fn put_off(connection: &Connection, one: &Candidate, at: Timestamp) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE billhook_flow_runs SET token = token + 1, holder = NULL, state = 'queued', due_at = ?2, crashes = ?3, \
             is_nudged = FALSE, rank = NULL WHERE id = ?1",
        )?
        .execute(params![one.id, times::precise(at), one.crashes])?;
    Ok(())
}

fn take(connection: &Connection, due: Due, holds: usize, request: &FlowClaim) -> rusqlite::Result<ClaimedRun> {
    let Due { mut run, candidate: _, has_waited, is_batch } = due;
    let (lease_until, at) = (times::precise(request.lease_until), times::precise(request.now));
    connection
        .prepare_cached(
            "UPDATE billhook_flow_runs SET token = ?2, holder = ?3, state = 'running', due_at = ?4, crashes = ?5, \
             expires_at = CASE WHEN started_at IS NULL THEN end_by ELSE expires_at END, \
             started_at = coalesce(started_at, ?6), is_nudged = FALSE, rank = NULL, slot = NULL, pause = NULL, holds = ?7, \
             version = ?8 WHERE id = ?1",
        )?
        .execute(params![run.id, run.token, request.holder, lease_until, run.crashes, at, whole(holds), run.version])?;
    if has_waited {
        publish::end_of_time(connection, &run.id, &request.over, request.now)?;
    }
    if is_batch {
        run.batch = batch(connection, &run.id)?;
    }
    run.memos = steps(connection, &run.id)?;
    Ok(run)
}

fn batch(connection: &Connection, run: &str) -> rusqlite::Result<Vec<FlowEvent>> {
    connection
        .prepare_cached(
            "SELECT event.key, event.id, event.name, event.data, event.ts FROM billhook_flow_run_events AS joined \
             JOIN billhook_flow_events AS event ON event.key = joined.event_key WHERE joined.run = ?1 ORDER BY joined.position",
        )?
        .query_map([run], |row| event_at(row, 0))?
        .collect()
}

fn give_back(connection: &Connection, run: &str, token: i64, now: Timestamp) -> rusqlite::Result<()> {
    let gates = connection
        .prepare_cached(
            // Nobody died. But it may have been given back between the beginning of a wait and the look at earlier events, so that whoever
            // comes next looks again, as after a death.
            "UPDATE billhook_flow_runs SET state = 'queued', due_at = ?3, holder = NULL, is_nudged = FALSE, holds = 0, \
             crashes = max(crashes, 1) WHERE id = ?1 AND token = ?2 AND state = 'running' RETURNING gate_1, gate_2",
        )?
        .query_row(params![run, token, times::precise(now)], |row| gates_at(row, 0))
        .optional()?;
    gates.as_ref().map_or(Ok(()), |gates| leave(connection, gates, now))
}

/// Versions as JSON: arrays of a function and a version.
pub(super) fn pairs(versions: &[FlowVersion]) -> String {
    let pair = |one: &FlowVersion| Value::from(vec![one.function.as_str(), one.version.as_str()]);
    versions.iter().map(pair).collect::<Value>().to_string()
}

fn seen(connection: &Connection, lookback: &Lookback) -> rusqlite::Result<Seen> {
    let Lookback { run, name, event_type, since, skip } = lookback;
    let since = times::precise(*since);
    let events = connection
        .prepare_cached(
            "SELECT key, id, name, data, ts FROM billhook_flow_events \
             WHERE name = ?1 AND received_at >= ?2 AND scheduled_at IS NULL AND cancelled_at IS NULL \
             ORDER BY received_at, key LIMIT ?3 OFFSET ?4",
        )?
        .query_map(params![name, since, whole(LOOKBACK_MAX), whole(*skip)], |row| event_at(row, 0))?
        .collect::<rusqlite::Result<Vec<FlowEvent>>>()?;
    let Some(event_type) = event_type else { return Ok(Seen { events, deliveries: Vec::new() }) };
    let deliveries = connection
        .prepare_cached(
            "SELECT raw FROM billhook_inbox \
             WHERE sequence > (SELECT inbox_sequence FROM billhook_flow_runs WHERE id = ?1) - ?2 AND event_type = ?3 \
             AND received_at >= ?4 ORDER BY sequence LIMIT ?5 OFFSET ?6",
        )?
        .query_map(params![run, SEQUENCE_SLACK, event_type, since, whole(LOOKBACK_MAX), whole(*skip)], |row| {
            row.get(0)
        })?
        .collect::<rusqlite::Result<Vec<Vec<u8>>>>()?;
    Ok(Seen { events, deliveries })
}

fn steps(connection: &Connection, run: &str) -> rusqlite::Result<Vec<(StepKey, String)>> {
    connection
        .prepare_cached(
            "SELECT step, occurrence, memo FROM billhook_flow_steps WHERE run = ?1 ORDER BY recorded_at, step, occurrence",
        )?
        .query_map([run], |row| Ok((StepKey::new(row.get::<_, String>(0)?, row.get(1)?), row.get(2)?)))?
        .collect()
}

pub(super) fn commit(
    connection: &Connection,
    commit: &RunCommit,
    matcher: &dyn WaitMatcher,
    now: Timestamp,
) -> rusqlite::Result<bool> {
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
    let at = times::precise(now);
    for StepRecord { key, memo, is_final } in &commit.records {
        record.execute(params![commit.run, key.id, key.occurrence, memo, is_final, at])?;
    }
    commit.waits.iter().try_for_each(|wait| publish::register(connection, wait))?;
    if !commit.publications.is_empty() {
        let names: Vec<EventName> = commit.publications.iter().flat_map(Publication::event_names).collect();
        let paths = publish::attend(connection, &names)?;
        publish::publish(connection, &commit.publications, &paths, matcher, now)?;
    }
    if commit.got_on {
        connection.prepare_cached("UPDATE billhook_flow_runs SET crashes = 0 WHERE id = ?1")?.execute([&commit.run])?;
    }
    if let Some(next) = &commit.next {
        advance(connection, &commit.run, next, now)?;
    }
    Ok(true)
}

fn advance(connection: &Connection, run: &str, next: &RunNext, now: Timestamp) -> rusqlite::Result<()> {
    let RunNext { state, due_at, failures, result, message } = next;
    // What came meanwhile is no reason to rest; after a failure, whose number grows, it is.
    let goes_on = *state == RunState::Waiting
        && connection
            .prepare_cached("SELECT 1 FROM billhook_flow_runs WHERE id = ?1 AND is_nudged AND failures = ?2")?
            .exists(params![run, failures])?;
    let state = if goes_on { RunState::Queued } else { *state };
    let at = times::precise(now);
    let due_at = if goes_on { Some(at.clone()) } else { due_at.map(times::precise) };
    let ended_at = state.is_over().then_some(&at);
    let parked_at = (state == RunState::Parked).then_some(&at);
    let gates = connection
        .prepare_cached(
            "UPDATE billhook_flow_runs SET state = ?2, due_at = ?3, holder = NULL, failures = ?4, result = ?5, \
             message = ?6, ended_at = ?7, crashes = 0, is_nudged = FALSE, holds = 0, parked_at = ?8, \
             expires_at = CASE WHEN ?3 IS NOT NULL OR ?2 = 'parked' THEN expires_at END \
             WHERE id = ?1 RETURNING gate_1, gate_2",
        )?
        .query_row(params![run, state.name(), due_at, failures, result, message, ended_at, parked_at], |row| {
            gates_at(row, 0)
        })?;
    if state.is_over() {
        publish::forget(connection, run)?;
    }
    leave(connection, &gates, now)
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

/// An event whose five columns begin at `first`.
pub(super) fn event_at(row: &Row<'_>, first: usize) -> rusqlite::Result<FlowEvent> {
    Ok(FlowEvent {
        key: row.get(first)?,
        id: row.get(first + 1)?,
        name: row.get(first + 2)?,
        data: row.get(first + 3)?,
        ts: times::read(row, first + 4)?,
    })
}

fn claimed(row: &Row<'_>) -> rusqlite::Result<ClaimedRun> {
    Ok(ClaimedRun {
        id: row.get(0)?,
        function: row.get(1)?,
        token: row.get(2)?,
        failures: row.get(3)?,
        crashes: row.get(4)?,
        is_first: row.get(5)?,
        created_at: times::read(row, 6)?,
        version: row.get(18)?,
        event: event_at(row, 7)?,
        memos: Vec::new(),
        rank: row.get(13)?,
        batch: Vec::new(),
    })
}

fn run(row: &Row<'_>) -> rusqlite::Result<FlowRun> {
    let unknown = || Error::FromSqlConversionFailure(3, Type::Text, "an unknown state of a run".into());
    Ok(FlowRun {
        id: row.get(0)?,
        function: row.get(1)?,
        event_key: row.get(2)?,
        state: RunState::from_name(row.get_ref(3)?.as_str()?).ok_or_else(unknown)?,
        due_at: times::read_optional(row, 4)?,
        failures: row.get(5)?,
        created_at: times::read(row, 6)?,
        started_at: times::read_optional(row, 7)?,
        ended_at: times::read_optional(row, 8)?,
        result: row.get(9)?,
        message: row.get(10)?,
        blocked: blocked(row)?,
        pause: row.get::<_, Option<String>>(14)?.as_deref().and_then(Pause::from_name),
        events: (row.get(15)?, row.get(16)?),
    })
}

fn blocked(row: &Row<'_>) -> rusqlite::Result<Option<Blocked>> {
    let Some(gate) = row.get(11)? else { return Ok(None) };
    Ok(Some(Blocked { gate, taken: row.get(12)?, places: row.get::<_, Option<u32>>(13)?.unwrap_or_default() }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_claim_goes_by_the_indexes_of_what_is_due_and_ready() {
        let connection = Connection::open_in_memory().expect("a database");
        connection.execute_batch(include_str!("../../sql/sqlite/migrations/0003_flow.sql")).expect("tables");
        for (sql, index) in due_sql().iter().zip(["billhook_flow_runs_due_idx", "billhook_flow_runs_ready_idx"]) {
            let mut plan = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).expect("a plan");
            let lines = plan.query_map(params!["", "[]", "[]", "[]", 1], |row| row.get(3)).expect("lines");
            let lines = lines.collect::<rusqlite::Result<Vec<String>>>().expect("lines").join("\n");
            assert!(lines.contains(&format!("run USING INDEX {index}")), "{lines}");
            assert!(!lines.contains("ORDER BY"), "nothing is sorted: {lines}");
        }
    }
}
