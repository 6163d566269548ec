//! Steering runs. What each operation does stands at [`crate::Store`].

use billhook_core::run::RunState;
use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, named_params, params};

use super::control::{gates_at, leave};
use super::flow_runs::{event, state, unsigned};
use super::flow_upkeep::note_ended;
use super::inbox::whole;
use super::job::Kind;
use super::{SqliteStore, publish, times};
use crate::flow::NothingSent;
use crate::flow_orders::{RunOrder, cancellable, may_be_rerun};
use crate::{Cancellation, CancellationSummary, PausedFunction, Redelivery, StoreError, Verdict};

impl SqliteStore {
    /// Changes a run as a person wants it.
    pub(crate) async fn order_flow_run(
        &self,
        id: &str,
        order: RunOrder,
        now: Timestamp,
    ) -> Result<Verdict, StoreError> {
        let id = id.to_owned();
        let change = move |connection: &Connection| order_run(connection, &id, order, now);
        self.write(Kind::Apply, 0, "changing a run", change).await
    }

    /// See [`crate::Store::rerun_flow_run`].
    pub async fn rerun_flow_run(&self, id: &str, new_id: &str, now: Timestamp) -> Result<Verdict, StoreError> {
        let (id, new_id) = (id.to_owned(), new_id.to_owned());
        let repeat = move |connection: &Connection| rerun(connection, &id, &new_id, now);
        self.write(Kind::Apply, 0, "repeating a run", repeat).await
    }

    /// See [`crate::Store::cancellable_flow_runs`].
    pub async fn cancellable_flow_runs(&self, cancellation: &Cancellation) -> Result<u64, StoreError> {
        let cancellation = cancellation.clone();
        self.read("counting runs to be called off", move |connection| count(connection, &cancellation)).await
    }

    /// See [`crate::Store::cancel_flow_runs`].
    pub async fn cancel_flow_runs(
        &self,
        cancellation: &Cancellation,
        limit: usize,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let cancellation = cancellation.clone();
        let cancel = move |connection: &Connection| cancel_many(connection, &cancellation, limit, now);
        self.write(Kind::Apply, 0, "calling runs off", cancel).await
    }

    /// See [`crate::Store::flow_cancellations`].
    pub async fn flow_cancellations(
        &self,
        before: Option<&str>,
        limit: usize,
    ) -> Result<Vec<CancellationSummary>, StoreError> {
        let before = before.map(str::to_owned);
        self.read("listing cancellations", move |connection| {
            connection
                .prepare_cached(
                    "SELECT id, function, event_id, created_after, created_before, reason, requested_at, runs \
                     FROM billhook_flow_cancellations WHERE ?1 IS NULL OR id < ?1 ORDER BY id DESC LIMIT ?2",
                )?
                .query_map(params![before, whole(limit)], cancellation_summary)?
                .collect()
        })
        .await
    }

    /// See [`crate::Store::redeliver_flow_event`].
    pub async fn redeliver_flow_event(
        &self,
        event_id: &str,
        runs: &[Redelivery],
        now: Timestamp,
    ) -> Result<Option<Vec<bool>>, StoreError> {
        let (event_id, runs) = (event_id.to_owned(), runs.to_vec());
        let redeliver = move |connection: &Connection| {
            let Some(event) = event(connection, &event_id)? else { return Ok(None) };
            let publication = Redelivery::publication(&runs, event.event, now);
            let published = publish::publish(connection, &[publication], &[], &NothingSent, now)?;
            Ok(published.into_iter().next().map(|one| one.started))
        };
        self.write(Kind::Apply, 0, "starting runs", redeliver).await
    }

    /// See [`crate::Store::pause_function`].
    pub async fn pause_function(&self, id: &str, reason: &str, now: Timestamp) -> Result<(), StoreError> {
        let (id, reason) = (id.to_owned(), reason.to_owned());
        self.write(Kind::Upkeep, 0, "pausing a function", move |connection| {
            connection
                .prepare_cached(
                    "INSERT INTO billhook_flow_functions (id, paused_at, reason) VALUES (?1, ?2, ?3) \
                     ON CONFLICT (id) DO UPDATE SET reason = excluded.reason",
                )?
                .execute(params![id, times::precise(now), reason])
                .map(|_rows| ())
        })
        .await
    }

    /// See [`crate::Store::resume_function`].
    pub async fn resume_function(&self, id: &str) -> Result<bool, StoreError> {
        let id = id.to_owned();
        self.write(Kind::Upkeep, 0, "resuming a function", move |connection| {
            let ended =
                connection.prepare_cached("DELETE FROM billhook_flow_functions WHERE id = ?1")?.execute([id])?;
            Ok(ended > 0)
        })
        .await
    }

    /// See [`crate::Store::paused_functions`].
    pub async fn paused_functions(&self) -> Result<Vec<PausedFunction>, StoreError> {
        let paused = |row: &Row<'_>| {
            Ok(PausedFunction { id: row.get(0)?, paused_at: times::read(row, 1)?, reason: row.get(2)? })
        };
        self.read("reading pauses", move |connection| {
            connection
                .prepare_cached("SELECT id, paused_at, reason FROM billhook_flow_functions ORDER BY id")?
                .query_map([], paused)?
                .collect()
        })
        .await
    }
}

fn standing(connection: &Connection, id: &str) -> rusqlite::Result<Option<(RunState, Option<String>)>> {
    connection
        .prepare_cached("SELECT state, message FROM billhook_flow_runs WHERE id = ?1")?
        .query_row([id], |row| Ok((state(row, 0)?, row.get(1)?)))
        .optional()
}

fn order_run(connection: &Connection, id: &str, order: RunOrder, now: Timestamp) -> rusqlite::Result<Verdict> {
    let Some((state, message)) = standing(connection, id)? else { return Ok(Verdict::NotFound) };
    let goes_on = order.goes_on();
    let Ok(change) = order.change(state, message.as_deref(), now) else { return Ok(Verdict::Illegal(state)) };
    if goes_on && let Some(rival) = rival(connection, id)?.filter(|rival| rival != id) {
        return Ok(Verdict::Occupied(rival));
    }
    let gates = connection
        .prepare_cached(
            "UPDATE billhook_flow_runs SET token = token + 1, holder = NULL, state = ?2, due_at = ?3, ended_at = ?4, \
             result = ?5, message = ?6, failures = CASE WHEN ?7 THEN 0 ELSE failures END, crashes = 0, parked_at = NULL, \
             expires_at = CASE WHEN ?3 IS NOT NULL THEN expires_at END, rank = ?8, holds = 0, blocked_on = NULL, \
             blocked_places = NULL, slot = NULL, pause = NULL WHERE id = ?1 RETURNING gate_1, gate_2",
        )?
        .query_row(
            params![
                id,
                change.state.name(),
                change.due_at.map(times::precise),
                change.ended_at.map(times::precise),
                change.result,
                change.message,
                change.forgives_failures,
                change.due_at.map(Timestamp::as_millisecond)
            ],
            |row| gates_at(row, 0),
        )?;
    publish::forget(connection, id)?;
    if change.due_at.is_none() {
        note_ended(connection, id)?;
    }
    for beginning in change.forgets {
        connection
            .prepare_cached("DELETE FROM billhook_flow_steps WHERE run = ?1 AND substr(memo, 1, length(?2)) = ?2")?
            .execute(params![id, beginning])?;
    }
    leave(connection, &gates, now)?;
    Ok(Verdict::Done)
}

/// The run that has not ended and has the singleton key of this one; it may be this one.
fn rival(connection: &Connection, id: &str) -> rusqlite::Result<Option<String>> {
    connection
        .prepare_cached(
            "SELECT rival.id FROM billhook_flow_runs AS run JOIN billhook_flow_runs AS rival \
             ON rival.function = run.function AND rival.singleton = run.singleton \
             WHERE run.id = ?1 AND rival.ended_at IS NULL",
        )?
        .query_row([id], |row| row.get(0))
        .optional()
}

fn rerun(connection: &Connection, id: &str, new_id: &str, now: Timestamp) -> rusqlite::Result<Verdict> {
    let Some((state, _)) = standing(connection, id)? else { return Ok(Verdict::NotFound) };
    if !may_be_rerun(state) {
        return Ok(Verdict::Illegal(state));
    }
    if let Some(rival) = rival(connection, id)? {
        return Ok(Verdict::Occupied(rival));
    }
    let at = times::precise(now);
    let started = connection
        .prepare_cached(
            "INSERT INTO billhook_flow_runs (id, function, dedupe_key, event_key, state, due_at, created_at, rerun_of, inbox_sequence, \
             rank, gate_1, gate_2, events, events_max, singleton) \
             SELECT ?2, run.function, 'rerun/' || ?2, run.event_key, 'queued', ?3, ?3, run.id, \
             (SELECT coalesce(max(sequence), 0) FROM billhook_inbox), ?4, run.gate_1, run.gate_2, run.events, run.events_max, \
             run.singleton FROM billhook_flow_runs AS run WHERE run.id = ?1",
        )?
        .execute(params![id, new_id, at, now.as_millisecond()])?;
    connection
        .prepare_cached(
            "INSERT INTO billhook_flow_run_events (function, dedupe_key, event_key, run, position, reason, noted_at) \
             SELECT function, 'rerun/' || ?2 || '/' || position, event_key, ?2, position, reason, ?3 \
             FROM billhook_flow_run_events WHERE run = ?1",
        )?
        .execute(params![id, new_id, at])?;
    Ok(if started > 0 { Verdict::Done } else { Verdict::NotFound })
}

/// Which runs a cancellation means; [`Meaning`] holds most parameters.
const MEANT: &str = "function = :function AND state IN (SELECT value FROM json_each(:states)) AND created_at < :before \
                     AND (:after IS NULL OR created_at >= :after) AND (:event IS NULL OR event_key IN (SELECT key FROM billhook_flow_events WHERE id = :event))";

fn count(connection: &Connection, cancellation: &Cancellation) -> rusqlite::Result<u64> {
    let sql = format!("SELECT count(*) FROM billhook_flow_runs WHERE {MEANT}");
    let Meaning { states, before, after } = Meaning::of(cancellation);
    let Cancellation { function, event_id, .. } = cancellation;
    let parameters = named_params! {
        ":function": function, ":states": states, ":before": before, ":after": after, ":event": event_id,
    };
    connection.prepare_cached(&sql)?.query_row(parameters, |row| row.get(0)).map(unsigned)
}

/// The runs that a cancellation means, in the order of their ids.
fn chosen(connection: &Connection, cancellation: &Cancellation, limit: usize) -> rusqlite::Result<Vec<String>> {
    let sql = format!("SELECT id FROM billhook_flow_runs WHERE {MEANT} ORDER BY id LIMIT :limit");
    let Meaning { states, before, after } = Meaning::of(cancellation);
    let Cancellation { function, event_id, .. } = cancellation;
    let parameters = named_params! {
        ":function": function, ":states": states, ":before": before, ":after": after, ":event": event_id,
        ":limit": whole(limit),
    };
    connection.prepare_cached(&sql)?.query_map(parameters, |row| row.get(0))?.collect()
}

/// The parameters of [`MEANT`] that have to be written first.
struct Meaning {
    states: String,
    before: String,
    after: Option<String>,
}

impl Meaning {
    fn of(cancellation: &Cancellation) -> Self {
        Self {
            states: serde_json::Value::from(cancellable()).to_string(),
            before: times::precise(cancellation.created_before),
            after: cancellation.created_after.map(times::precise),
        }
    }
}

fn cancel_many(
    connection: &Connection,
    cancellation: &Cancellation,
    limit: usize,
    now: Timestamp,
) -> rusqlite::Result<u64> {
    let runs = chosen(connection, cancellation, limit)?;
    let mut cancel = connection.prepare_cached(
        "UPDATE billhook_flow_runs SET token = token + 1, holder = NULL, state = 'cancelled', due_at = NULL, \
         ended_at = ?2, result = NULL, message = ?3, expires_at = NULL, parked_at = NULL, rank = NULL, holds = 0, \
         blocked_on = NULL, blocked_places = NULL, slot = NULL, pause = NULL WHERE id = ?1 RETURNING gate_1, gate_2",
    )?;
    let mut left = Vec::with_capacity(runs.len());
    for run in &runs {
        let parameters = params![run, times::precise(now), cancellation.reason];
        left.push(cancel.query_row(parameters, |row| gates_at(row, 0))?);
        publish::forget(connection, run)?;
        note_ended(connection, run)?;
    }
    // After all of them, or one that is called off as well would be let go.
    left.iter().try_for_each(|gates| leave(connection, gates, now))?;
    connection
        .prepare_cached(
            "INSERT INTO billhook_flow_cancellations AS noted \
             (id, function, event_id, created_after, created_before, reason, requested_at, runs) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (id) DO UPDATE SET runs = noted.runs + excluded.runs",
        )?
        .execute(params![
            cancellation.id,
            cancellation.function,
            cancellation.event_id,
            cancellation.created_after.map(times::precise),
            times::precise(cancellation.created_before),
            cancellation.reason,
            times::precise(cancellation.requested_at),
            whole(runs.len())
        ])?;
    Ok(runs.len() as u64)
}

fn cancellation_summary(row: &Row<'_>) -> rusqlite::Result<CancellationSummary> {
    let cancellation = Cancellation {
        id: row.get(0)?,
        function: row.get(1)?,
        event_id: row.get(2)?,
        created_after: times::read_optional(row, 3)?,
        created_before: times::read(row, 4)?,
        reason: row.get(5)?,
        requested_at: times::read(row, 6)?,
    };
    Ok(CancellationSummary { cancellation, runs: unsigned(row.get(7)?) })
}
