//! What holds runs back. The decisions stand in [`crate::control`]; here is what they are made from and what they change.

use std::collections::{BTreeSet, HashMap};

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use super::inbox::whole;
use super::job::Kind;
use super::{SqliteStore, publish, times};
use crate::control::{Candidate, Found, Gathering, Passed, Verdict, decide, free, pass};
use crate::flow::GATES_SWEPT;
use crate::{Control, FlowEvent, FlowWait, NewFlowRun, Pause, StoreError};

impl SqliteStore {
    /// See [`crate::Store::open_flow_gates`].
    pub async fn open_flow_gates(
        &self,
        places: &[(String, u32)],
        after: &str,
        now: Timestamp,
    ) -> Result<Option<String>, StoreError> {
        let (places, after) = (places.to_vec(), after.to_owned());
        let open = move |connection: &Connection| {
            let gates = blocked_gates(connection, after)?;
            let taken = taken(connection, gates.iter().map(String::as_str))?;
            for (gate, count) in free(&gates, &taken, &places) {
                open(connection, &gate, count, now)?;
            }
            Ok(gates.last().cloned().filter(|_| gates.len() == GATES_SWEPT))
        };
        self.write(Kind::Upkeep, 0, "opening gates", open).await
    }

    /// See [`crate::Store::flow_refusals`].
    pub async fn flow_refusals(&self, limit: usize) -> Result<Vec<(String, u64, Timestamp)>, StoreError> {
        self.read("reading refusals", move |connection| {
            connection
                .prepare_cached(
                    "SELECT key, refused, refused_at FROM billhook_flow_paces WHERE refused_at IS NOT NULL \
                     ORDER BY refused_at DESC, key LIMIT ?1",
                )?
                .query_map([whole(limit)], |row| {
                    Ok((row.get(0)?, u64::from(row.get::<_, u32>(1)?), times::read(row, 2)?))
                })?
                .collect()
        })
        .await
    }
}

/// Gates at which runs stand, behind one of them.
fn blocked_gates(connection: &Connection, mut after: String) -> rusqlite::Result<Vec<String>> {
    let mut next = connection.prepare_cached(
        "SELECT blocked_on FROM billhook_flow_runs WHERE blocked_on IS NOT NULL AND blocked_on > ?1 \
         ORDER BY blocked_on LIMIT 1",
    )?;
    let mut gates = Vec::new();
    while gates.len() < GATES_SWEPT
        && let Some(gate) = next.query_row([&after], |row| row.get::<_, String>(0)).optional()?
    {
        after.clone_from(&gate);
        gates.push(gate);
    }
    Ok(gates)
}

/// How many places of gates are taken.
fn taken<'g>(connection: &Connection, gates: impl Iterator<Item = &'g str>) -> rusqlite::Result<HashMap<String, u32>> {
    let mut count = connection.prepare_cached(
        "SELECT (SELECT count(*) FROM billhook_flow_runs WHERE gate_1 = ?1 AND holds >= 1) \
         + (SELECT count(*) FROM billhook_flow_runs WHERE gate_2 = ?1 AND holds >= 2)",
    )?;
    gates.map(|gate| Ok((gate.to_owned(), count.query_row([gate], |row| row.get(0))?))).collect()
}

/// Lets the next runs of a gate go. They are candidates and no more: the claim decides who gets the places.
fn open(connection: &Connection, gate: &str, count: u32, now: Timestamp) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE billhook_flow_runs SET due_at = ?3, blocked_on = NULL, blocked_places = NULL WHERE id IN \
             (SELECT id FROM billhook_flow_runs WHERE blocked_on = ?1 ORDER BY rank, id LIMIT ?2)",
        )?
        .execute(params![gate, count, times::precise(now)])?;
    Ok(())
}

/// A run has left its gates: the next one of each may go.
pub(super) fn leave(connection: &Connection, gates: &[Option<String>; 2], now: Timestamp) -> rusqlite::Result<()> {
    gates.iter().flatten().try_for_each(|gate| open(connection, gate, 1, now))
}

/// The gates of a row, from the column `first` on.
pub(super) fn gates_at(row: &Row<'_>, first: usize) -> rusqlite::Result<[Option<String>; 2]> {
    Ok([row.get(first)?, row.get(first + 1)?])
}

/// Of these candidates, those that pass their gates, by their ids with the gates that they hold. The others are out of the way.
pub(super) fn through(
    connection: &Connection,
    candidates: &[Candidate],
    places: &[(String, u32)],
) -> rusqlite::Result<HashMap<String, usize>> {
    let gates: BTreeSet<&str> = candidates.iter().flat_map(|one| &one.gates).map(String::as_str).collect();
    let mut counts = taken(connection, gates.into_iter())?;
    let mut through = HashMap::with_capacity(candidates.len());
    for Passed { id, holds, stopped_at } in pass(candidates, &mut counts, places) {
        match stopped_at {
            Some((gate, places)) => stop(connection, &id, &gate, places, holds)?,
            None => drop(through.insert(id, holds)),
        }
    }
    Ok(through)
}

/// A run that found no place is not due until one is free. What had no rank is ordered by the time that has come.
fn stop(connection: &Connection, run: &str, gate: &str, places: u32, holds: usize) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE billhook_flow_runs SET due_at = NULL, blocked_on = ?2, blocked_places = ?3, holds = ?4, \
             rank = coalesce(rank, CAST(unixepoch(due_at, 'subsec') * 1000 AS INTEGER)) WHERE id = ?1",
        )?
        .execute(params![run, gate, places, whole(holds)])?;
    Ok(())
}

/// Starts a run that is held back or holds others back; returns whether it is new.
pub(super) fn start(
    connection: &Connection,
    run: &NewFlowRun,
    event: &FlowEvent,
    now: Timestamp,
) -> rusqlite::Result<bool> {
    let decision = decide(&run.control, &found(connection, run)?, event.ts, run.due_at, now);
    let at = times::precise(now);
    for (key, next_at) in &decision.paces {
        connection
            .prepare_cached(
                "INSERT INTO billhook_flow_paces (key, next_at) VALUES (?1, ?2) \
                 ON CONFLICT (key) DO UPDATE SET next_at = excluded.next_at",
            )?
            .execute(params![key, times::precise(*next_at)])?;
    }
    let (joined, position, is_new) = match &decision.verdict {
        Verdict::Known => return Ok(false),
        Verdict::Limited { key } => {
            connection
                .prepare_cached("UPDATE billhook_flow_paces SET refused = refused + 1, refused_at = ?2 WHERE key = ?1")?
                .execute(params![key, at])?;
            (None, 1, false)
        }
        Verdict::Skipped { .. } => (None, 1, false),
        Verdict::Joined { run: gathering, position, due_at, is_full, replaces } => {
            join(connection, gathering, *position, due_at.map(times::precise), *is_full)?;
            if *replaces {
                replace(connection, gathering, run, &event.key)?;
                publish::forget_all(connection, gathering)?;
                let waits = run.cancels.iter().map(|wait| FlowWait { run: gathering.clone(), ..wait.clone() });
                waits.into_iter().try_for_each(|wait| publish::register(connection, &wait))?;
            }
            (Some(gathering), *position, false)
        }
        Verdict::Created { due_at, pause, events_max, replaced } => {
            if let Some(replaced) = replaced {
                let message = format!("called off: {} of the same key took its place", event.id);
                publish::cancel(connection, replaced, &message, now)?;
            }
            if !create(connection, run, &event.key, *due_at, *pause, *events_max, now)? {
                return Ok(false);
            }
            run.cancels.iter().try_for_each(|wait| publish::register(connection, wait))?;
            (Some(&run.id), 1, true)
        }
    };
    if let Some(reason) = decision.verdict.reason(&run.control) {
        connection
            .prepare_cached(
                "INSERT INTO billhook_flow_run_events (function, dedupe_key, event_key, run, position, reason, noted_at) \
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING",
            )?
            .execute(params![run.function, run.dedupe_key, event.key, joined, position, reason, at])?;
    }
    Ok(is_new)
}

/// One more event of a run that gathers. What stands at a gate goes on gathering there.
fn join(
    connection: &Connection,
    run: &str,
    position: u32,
    due_at: Option<String>,
    is_full: bool,
) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "UPDATE billhook_flow_runs SET events = ?2, slot = CASE WHEN ?4 THEN NULL ELSE slot END, \
             due_at = CASE WHEN blocked_on IS NULL THEN coalesce(?3, due_at) END WHERE id = ?1",
        )?
        .execute(params![run, position, due_at, is_full])?;
    Ok(())
}

/// Another event is the one that a run that gathers begins with; its times count from that one.
fn replace(connection: &Connection, run: &str, by: &NewFlowRun, event_key: &str) -> rusqlite::Result<()> {
    let (expires_at, end_by) = (by.expires_at().map(times::precise), by.end_by.map(times::precise));
    connection
        .prepare_cached("UPDATE billhook_flow_runs SET event_key = ?2, expires_at = ?3, end_by = ?4 WHERE id = ?1")?
        .execute(params![run, event_key, expires_at, end_by])?;
    Ok(())
}

fn found(connection: &Connection, run: &NewFlowRun) -> rusqlite::Result<Found> {
    let Control { throttle, rate_limit, gather, singleton, .. } = &run.control;
    let is_known = connection
        .prepare_cached(
            "SELECT 1 FROM billhook_flow_runs WHERE function = ?1 AND dedupe_key = ?2 \
             UNION ALL SELECT 1 FROM billhook_flow_run_events WHERE function = ?1 AND dedupe_key = ?2",
        )?
        .exists([&run.function, &run.dedupe_key])?;
    let next = |pace: &Option<crate::Pace>| {
        let Some(pace) = pace else { return Ok(None) };
        connection
            .prepare_cached("SELECT next_at FROM billhook_flow_paces WHERE key = ?1")?
            .query_row([&pace.key], |row| times::read(row, 0))
            .optional()
    };
    let gathering = match gather {
        Some(gather) => connection
            .prepare_cached(
                "SELECT run.id, run.events, run.created_at, event.ts \
                 FROM billhook_flow_runs AS run JOIN billhook_flow_events AS event ON event.key = run.event_key \
                 WHERE run.function = ?1 AND run.slot = ?2",
            )?
            .query_row([&run.function, &gather.key], gathering)
            .optional()?,
        None => None,
    };
    let present = match singleton {
        Some(singleton) => connection
            .prepare_cached(
                "SELECT id FROM billhook_flow_runs WHERE function = ?1 AND singleton = ?2 AND ended_at IS NULL",
            )?
            .query_row([&run.function, &singleton.key], |row| row.get(0))
            .optional()?,
        None => None,
    };
    Ok(Found { is_known, gathering, present, throttle_next: next(throttle)?, rate_next: next(rate_limit)? })
}

fn gathering(row: &Row<'_>) -> rusqlite::Result<Gathering> {
    let (run, events) = (row.get(0)?, row.get(1)?);
    Ok(Gathering { run, events, created_at: times::read(row, 2)?, event_ts: times::read(row, 3)? })
}

/// Writes the run; false when there is one of its key.
fn create(
    connection: &Connection,
    run: &NewFlowRun,
    event_key: &str,
    due_at: Timestamp,
    pause: Option<Pause>,
    events_max: u32,
    now: Timestamp,
) -> rusqlite::Result<bool> {
    let control = &run.control;
    let rank = (due_at <= now).then_some(control.rank);
    let gathers = matches!(pause, Some(Pause::Batch | Pause::Debounce));
    let slot = control.gather.as_ref().filter(|_| gathers).map(|gather| &gather.key);
    let singleton = control.singleton.as_ref().map(|singleton| &singleton.key);
    let written = connection
        .prepare_cached(
            "INSERT INTO billhook_flow_runs (id, function, dedupe_key, event_key, state, due_at, created_at, inbox_sequence, \
             rank, gate_1, gate_2, slot, events_max, pause, singleton, expires_at, end_by) \
             VALUES (?1, ?2, ?3, ?4, 'queued', ?5, ?6, (SELECT coalesce(max(sequence), 0) FROM billhook_inbox), \
             ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15) ON CONFLICT (function, dedupe_key) DO NOTHING",
        )?
        .execute(params![
            run.id,
            run.function,
            run.dedupe_key,
            event_key,
            times::precise(due_at),
            times::precise(now),
            rank,
            control.gate(0),
            control.gate(1),
            slot,
            events_max,
            pause.map(Pause::name),
            singleton,
            run.expires_at().map(times::precise),
            run.end_by.map(times::precise)
        ])?;
    Ok(written == 1)
}
