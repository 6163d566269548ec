//! Events on their way to runs: what they start, end and call off. The writer is alone, so waits and events need no locks.

use std::collections::{BTreeSet, HashSet};

use billhook_core::step::StepKey;
use jiff::Timestamp;
use rusqlite::types::Type;
use rusqlite::{Connection, Error, OptionalExtension, Row, params};

use super::control::{self, gates_at, leave};
use super::flow::event_at;
use super::flow_upkeep::note_ended;
use super::times;
use crate::{
    EventName, FlowEvent, FlowWait, Keep, NewFlowRun, Publication, Published, StoredWait, WaitKind, WaitMatcher,
};

/// See [`crate::Transaction::attend`].
pub(super) fn attend(connection: &Connection, names: &[EventName]) -> rusqlite::Result<Vec<(String, String)>> {
    let mut next = connection
        .prepare_cached("SELECT path FROM billhook_flow_waits WHERE name = ?1 AND path > ?2 ORDER BY path LIMIT 1")?;
    let mut first =
        connection.prepare_cached("SELECT path FROM billhook_flow_waits WHERE name = ?1 ORDER BY path LIMIT 1")?;
    let mut paths = Vec::new();
    for name in names.iter().map(|one| &one.name).collect::<BTreeSet<_>>() {
        let mut path: Option<String> = first.query_row([name], |row| row.get(0)).optional()?;
        while let Some(found) = path {
            path = next.query_row([name, &found], |row| row.get(0)).optional()?;
            paths.push((name.clone(), found));
        }
    }
    Ok(paths)
}

/// See [`crate::Transaction::take_flow_events`].
pub(super) fn take(connection: &Connection, keys: &[String], now: Timestamp) -> rusqlite::Result<Vec<String>> {
    let mut take = connection
        .prepare_cached("UPDATE billhook_flow_events SET scheduled_at = NULL WHERE key = ?1 AND scheduled_at <= ?2")?;
    let now = times::precise(now);
    let mut taken = Vec::new();
    for key in keys {
        if take.execute(params![key, now])? == 1 {
            taken.push(key.clone());
        }
    }
    Ok(taken)
}

/// See [`crate::Transaction::publish`].
pub(super) fn publish(
    connection: &Connection,
    publications: &[Publication],
    paths: &[(String, String)],
    matcher: &dyn WaitMatcher,
    now: Timestamp,
) -> rusqlite::Result<Vec<Published>> {
    let mut published = Vec::with_capacity(publications.len());
    for one in publications {
        published.push(Published { is_duplicate: insert(connection, one, now)?, ..start(connection, one, now)? });
    }
    // After all runs have started, and the earliest event first, as when they come in one statement.
    let mut order: Vec<usize> = (0..publications.len()).collect();
    order.sort_by_key(|number| publications[*number].event.ts);
    for number in order {
        if !matches!(publications[number].keep, Keep::Until(..)) && !published[number].is_duplicate {
            arrive(connection, &publications[number], &mut published[number], paths, matcher, now)?;
        }
    }
    Ok(published)
}

/// Writes an event that stays; returns whether it was there.
fn insert(connection: &Connection, one: &Publication, now: Timestamp) -> rusqlite::Result<bool> {
    let FlowEvent { key, id, name, data, ts } = &one.event;
    let now = times::precise(now);
    let (scheduled_at, schedule_key) = match &one.keep {
        Keep::Already => return Ok(false),
        Keep::IfUsed if one.runs.is_empty() => return Ok(false),
        Keep::IfUsed | Keep::Always => (None, None),
        Keep::Until(at, schedule_key) => (Some(times::precise(*at)), schedule_key.clone()),
    };
    if let Some(schedule_key) = &schedule_key {
        connection
            .prepare_cached(
                "UPDATE billhook_flow_events SET scheduled_at = NULL, cancelled_at = ?4 \
                 WHERE name = ?1 AND schedule_key = ?2 AND key <> ?3 AND scheduled_at IS NOT NULL",
            )?
            .execute(params![name, schedule_key, key, now])?;
    }
    let written = connection
        .prepare_cached(
            "INSERT INTO billhook_flow_events (key, id, name, data, ts, received_at, scheduled_at, schedule_key) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8) ON CONFLICT (key) DO NOTHING",
        )?
        .execute(params![key, id, name, data, times::precise(*ts), now, scheduled_at, schedule_key])?;
    if written == 1 || matches!(one.keep, Keep::IfUsed) {
        return Ok(false);
    }
    connection
        .prepare_cached("UPDATE billhook_flow_events SET duplicates = duplicates + 1 WHERE key = ?1")?
        .execute([key])?;
    Ok(true)
}

/// Starts the runs of an event and registers what calls them off.
fn start(connection: &Connection, one: &Publication, now: Timestamp) -> rusqlite::Result<Published> {
    let mut insert = connection.prepare_cached(
        "INSERT INTO billhook_flow_runs (id, function, dedupe_key, event_key, state, due_at, created_at, expires_at, end_by, \
         rank, gate_1, gate_2, inbox_sequence) \
         VALUES (?1, ?2, ?3, ?4, 'queued', ?5, ?6, ?7, ?8, ?9, ?10, ?11, (SELECT coalesce(max(sequence), 0) FROM billhook_inbox)) \
         ON CONFLICT (function, dedupe_key) DO NOTHING",
    )?;
    let at = times::precise(now);
    let mut started = Vec::with_capacity(one.runs.len());
    for run in &one.runs {
        if !run.control.is_free() {
            started.push(control::start(connection, run, &one.event, now)?);
            continue;
        }
        let NewFlowRun { id, function, dedupe_key, due_at, start_by: _, end_by, cancels, control } = run;
        let rank = (*due_at <= now).then_some(control.rank);
        let (expires_at, end_by) = (run.expires_at().map(times::precise), end_by.map(times::precise));
        let (due_at, gate_1, gate_2) = (times::precise(*due_at), control.gate(0), control.gate(1));
        let event = &one.event.key;
        let is_new = insert
            .execute(params![id, function, dedupe_key, event, due_at, at, expires_at, end_by, rank, gate_1, gate_2])?
            == 1;
        if is_new {
            cancels.iter().try_for_each(|wait| register(connection, wait))?;
        }
        started.push(is_new);
    }
    Ok(Published { started, ..Published::default() })
}

/// Registers a wait.
pub(super) fn register(connection: &Connection, wait: &FlowWait) -> rusqlite::Result<()> {
    let FlowWait { run, kind, key, name, path, value, expression, until } = wait;
    let until = until.map(times::precise);
    connection
        .prepare_cached(
            "INSERT INTO billhook_flow_waits (run, kind, step, occurrence, name, path, value, expression, until) \
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9) ON CONFLICT DO NOTHING",
        )?
        .execute(params![run, kind.name(), key.id, key.occurrence, name, path, value, expression, until])?;
    Ok(())
}

/// Ends the waits and calls off the runs that an event is meant for.
fn arrive(
    connection: &Connection,
    one: &Publication,
    published: &mut Published,
    paths: &[(String, String)],
    matcher: &dyn WaitMatcher,
    now: Timestamp,
) -> rusqlite::Result<()> {
    let event = &one.event;
    let mut matching = Vec::new();
    for (name, path) in paths.iter().filter(|(name, _)| one.names.contains(name)) {
        let value = if path.is_empty() { Some(String::new()) } else { matcher.value(event, path) };
        let Some(value) = value else { continue };
        let found = connection
            .prepare_cached(
                "SELECT wait.run, wait.kind, wait.step, wait.occurrence, wait.name, wait.path, wait.value, wait.expression, \
                 wait.until, event.key, event.id, event.name, event.data, event.ts \
                 FROM billhook_flow_waits AS wait JOIN billhook_flow_runs AS run ON run.id = wait.run \
                 JOIN billhook_flow_events AS event ON event.key = run.event_key \
                 WHERE wait.name = ?1 AND wait.path = ?2 AND wait.value = ?3",
            )?
            .query_map(params![name, path, value], stored_wait)?
            .collect::<rusqlite::Result<Vec<StoredWait>>>()?;
        matching.extend(found.into_iter().filter(|stored| matcher.matches(stored, event)).map(|stored| stored.wait));
    }
    let called_off: HashSet<String> =
        matching.iter().filter(|wait| wait.kind == WaitKind::Cancel).map(|wait| wait.run.clone()).collect();
    let memo = matcher.memo(Some(event));
    for wait in matching.into_iter().filter(|wait| wait.kind == WaitKind::Event) {
        if end(connection, &wait, &memo, now)? {
            published.woken.push(wait.run);
        }
    }
    for run in called_off {
        if cancel(connection, &run, &format!("called off by {} ({})", event.name, event.id), now)? {
            published.cancelled.push(run);
        }
    }
    Ok(())
}

/// Ends a wait with its result; returns whether its run goes on.
fn end(connection: &Connection, wait: &FlowWait, memo: &str, now: Timestamp) -> rusqlite::Result<bool> {
    let now = times::precise(now);
    let key = params![wait.run, wait.key.id, wait.key.occurrence];
    let ended = connection
        .prepare_cached(
            "DELETE FROM billhook_flow_waits WHERE run = ?1 AND kind = 'event' AND step = ?2 AND occurrence = ?3",
        )?
        .execute(key)?;
    if ended == 0 {
        return Ok(false);
    }
    record_end(connection, &wait.run, &wait.key, memo, &now)?;
    let woken = connection
        .prepare_cached(
            "UPDATE billhook_flow_runs SET is_nudged = (state = 'running'), \
             due_at = CASE state WHEN 'waiting' THEN ?2 ELSE due_at END, \
             state = CASE state WHEN 'waiting' THEN 'queued' ELSE state END, \
             rank = CASE state WHEN 'waiting' THEN NULL ELSE rank END, \
             blocked_on = CASE state WHEN 'waiting' THEN NULL ELSE blocked_on END, \
             blocked_places = CASE state WHEN 'waiting' THEN NULL ELSE blocked_places END \
             WHERE id = ?1 AND state IN ('waiting', 'running', 'queued')",
        )?
        .execute(params![wait.run, now])?;
    Ok(woken == 1)
}

fn record_end(connection: &Connection, run: &str, key: &StepKey, memo: &str, now: &str) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "INSERT INTO billhook_flow_steps AS stored (run, step, occurrence, memo, is_final, recorded_at) \
             VALUES (?1, ?2, ?3, ?4, TRUE, ?5) ON CONFLICT (run, step, occurrence) DO UPDATE SET \
             memo = excluded.memo, is_final = TRUE, recorded_at = excluded.recorded_at WHERE NOT stored.is_final",
        )?
        .execute(params![run, key.id, key.occurrence, memo, now])?;
    Ok(())
}

/// Waits of a run whose time is over have their result: nothing came.
pub(super) fn end_of_time(connection: &Connection, run: &str, over: &str, now: Timestamp) -> rusqlite::Result<()> {
    let now = times::precise(now);
    let ended = connection
        .prepare_cached(
            "DELETE FROM billhook_flow_waits WHERE run = ?1 AND kind = 'event' AND until <= ?2 RETURNING step, occurrence",
        )?
        .query_map(params![run, now], |row| Ok(StepKey::new(row.get::<_, String>(0)?, row.get(1)?)))?
        .collect::<rusqlite::Result<Vec<StepKey>>>()?;
    ended.iter().try_for_each(|key| record_end(connection, run, key, over, &now))
}

/// Calls a run off. The token moves, so that whoever executes it is refused from here on.
pub(super) fn cancel(connection: &Connection, run: &str, message: &str, now: Timestamp) -> rusqlite::Result<bool> {
    let cancelled = connection
        .prepare_cached(
            "UPDATE billhook_flow_runs SET state = 'cancelled', due_at = NULL, holder = NULL, token = token + 1, message = ?2, \
             ended_at = ?3, expires_at = NULL, parked_at = NULL, rank = NULL, holds = 0, blocked_on = NULL, \
             blocked_places = NULL, slot = NULL, pause = NULL \
             WHERE id = ?1 AND state IN ('queued', 'running', 'waiting', 'parked') RETURNING gate_1, gate_2",
        )?
        .query_row(params![run, message, times::precise(now)], |row| gates_at(row, 0))
        .optional()?;
    forget(connection, run)?;
    if let Some(gates) = &cancelled {
        leave(connection, gates, now)?;
        note_ended(connection, run)?;
    }
    Ok(cancelled.is_some())
}

/// Forgets all that a run waits for and that calls it off.
pub(super) fn forget_all(connection: &Connection, run: &str) -> rusqlite::Result<()> {
    connection.prepare_cached("DELETE FROM billhook_flow_waits WHERE run = ?1")?.execute([run])?;
    Ok(())
}

/// Forgets what a run waits for that has ended. What calls it off stays when it failed: somebody may let it go on.
pub(super) fn forget(connection: &Connection, run: &str) -> rusqlite::Result<()> {
    connection
        .prepare_cached(
            "DELETE FROM billhook_flow_waits WHERE run = ?1 AND (kind = 'event' OR NOT EXISTS \
             (SELECT 1 FROM billhook_flow_runs WHERE id = ?1 AND state IN ('failed', 'queued')))",
        )?
        .execute([run])?;
    Ok(())
}

fn stored_wait(row: &Row<'_>) -> rusqlite::Result<StoredWait> {
    let unknown = || Error::FromSqlConversionFailure(1, Type::Text, "an unknown kind of wait".into());
    let wait = FlowWait {
        run: row.get(0)?,
        kind: WaitKind::from_name(row.get_ref(1)?.as_str()?).ok_or_else(unknown)?,
        key: StepKey::new(row.get::<_, String>(2)?, row.get(3)?),
        name: row.get(4)?,
        path: row.get(5)?,
        value: row.get(6)?,
        expression: row.get(7)?,
        until: times::read_optional(row, 8)?,
    };
    Ok(StoredWait { wait, trigger: event_at(row, 9)? })
}
