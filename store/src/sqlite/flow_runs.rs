//! Looking at runs. What each operation does stands at [`crate::Store`].

use billhook_core::run::RunState;
use billhook_core::step::StepKey;
use rusqlite::types::Type;
use rusqlite::{Connection, Error, OptionalExtension, Row, params};

use super::flow::event_at;
use super::inbox::whole;
use super::{SqliteStore, times};
use crate::{
    EVENT_RUNS_MAX, FlowEventFilter, FlowRunCount, FlowRunDetail, FlowRunFilter, FlowRunSummary, FlowStep, KeptEvent,
    StoreError,
};

impl SqliteStore {
    /// See [`crate::Store::list_flow_runs`].
    pub async fn list_flow_runs(&self, filter: FlowRunFilter) -> Result<Vec<FlowRunSummary>, StoreError> {
        self.read("listing runs", move |connection| list(connection, &filter)).await
    }

    /// See [`crate::Store::flow_run_detail`].
    pub async fn flow_run_detail(&self, id: &str) -> Result<Option<FlowRunDetail>, StoreError> {
        let id = id.to_owned();
        self.read("reading a run", move |connection| {
            let sql = format!("SELECT {RUN}, run.result FROM {RUN_FROM} WHERE run.id = ?1");
            connection.prepare_cached(&sql)?.query_row([id], detail).optional()
        })
        .await
    }

    /// See [`crate::Store::flow_run_steps`].
    pub async fn flow_run_steps(&self, run: &str) -> Result<Vec<FlowStep>, StoreError> {
        let run = run.to_owned();
        self.read("reading steps", move |connection| {
            connection
                .prepare_cached(
                    "SELECT step, occurrence, memo, is_final, recorded_at FROM billhook_flow_steps WHERE run = ?1 \
                     ORDER BY recorded_at, step, occurrence",
                )?
                .query_map([run], step)?
                .collect()
        })
        .await
    }

    /// See [`crate::Store::flow_run_counts`].
    pub async fn flow_run_counts(&self) -> Result<Vec<FlowRunCount>, StoreError> {
        let counted = |row: &Row<'_>| {
            Ok(FlowRunCount { function: row.get(0)?, state: state(row, 1)?, runs: unsigned(row.get(2)?) })
        };
        self.read("counting runs", move |connection| {
            connection
                .prepare_cached(
                    "SELECT function, state, count(*) FROM billhook_flow_runs GROUP BY function, state \
                     ORDER BY function, state",
                )?
                .query_map([], counted)?
                .collect()
        })
        .await
    }

    /// See [`crate::Store::flow_event`].
    pub async fn flow_event(&self, id: &str) -> Result<Option<KeptEvent>, StoreError> {
        let id = id.to_owned();
        self.read("reading an event", move |connection| event(connection, &id)).await
    }

    /// See [`crate::Store::list_flow_events`].
    pub async fn list_flow_events(&self, filter: FlowEventFilter) -> Result<Vec<KeptEvent>, StoreError> {
        self.read("listing events", move |connection| list_events(connection, &filter)).await
    }

    /// See [`crate::Store::flow_event_runs`].
    pub async fn flow_event_runs(&self, event_id: &str) -> Result<Vec<FlowRunDetail>, StoreError> {
        let event_id = event_id.to_owned();
        self.read("reading the runs of an event", move |connection| {
            let sql =
                format!("SELECT {RUN}, run.result FROM {RUN_FROM} WHERE event.id = ?1 ORDER BY run.id DESC LIMIT ?2");
            connection.prepare_cached(&sql)?.query_map(params![event_id, whole(EVENT_RUNS_MAX)], detail)?.collect()
        })
        .await
    }
}

/// The columns of a run, as [`summary`] reads them.
const RUN: &str = "run.id, run.function, event.id, event.name, run.state, run.due_at, run.holder, run.failures, \
                   run.created_at, run.started_at, run.ended_at, run.message, run.rerun_of, run.version";

const RUN_FROM: &str = "billhook_flow_runs AS run JOIN billhook_flow_events AS event ON event.key = run.event_key";

fn list(connection: &Connection, filter: &FlowRunFilter) -> rusqlite::Result<Vec<FlowRunSummary>> {
    let sql = format!(
        "SELECT {RUN} FROM {RUN_FROM} WHERE (?1 IS NULL OR run.function = ?1) AND (?2 IS NULL OR run.state = ?2) \
         AND (?3 IS NULL OR event.id = ?3) AND (?4 IS NULL OR run.created_at >= ?4) \
         AND (?5 IS NULL OR run.created_at < ?5) AND (?6 IS NULL OR run.id < ?6) ORDER BY run.id DESC LIMIT ?7"
    );
    let parameters = params![
        filter.function,
        filter.state.map(RunState::name),
        filter.event_id,
        filter.created_after.map(times::precise),
        filter.created_before.map(times::precise),
        filter.before,
        whole(filter.limit)
    ];
    connection.prepare_cached(&sql)?.query_map(parameters, summary)?.collect()
}

pub(super) fn event(connection: &Connection, id: &str) -> rusqlite::Result<Option<KeptEvent>> {
    connection
        .prepare_cached("SELECT key, id, name, data, ts, received_at FROM billhook_flow_events WHERE id = ?1 ORDER BY received_at LIMIT 1")?
        .query_row([id], kept)
        .optional()
}

/// Ids of events tell no time, so the place of the last page's end is read from its row.
fn list_events(connection: &Connection, filter: &FlowEventFilter) -> rusqlite::Result<Vec<KeptEvent>> {
    connection
        .prepare_cached(
            "SELECT key, id, name, data, ts, received_at FROM billhook_flow_events WHERE (?1 IS NULL OR name = ?1) \
             AND (?2 IS NULL OR (received_at, id) < (SELECT last.received_at, last.id \
             FROM billhook_flow_events AS last WHERE last.id = ?2)) ORDER BY received_at DESC, id DESC LIMIT ?3",
        )?
        .query_map(params![filter.name, filter.before, whole(filter.limit)], kept)?
        .collect()
}

pub(super) fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or(0)
}

pub(super) fn state(row: &Row<'_>, at: usize) -> rusqlite::Result<RunState> {
    let unknown = || Error::FromSqlConversionFailure(at, Type::Text, "an unknown state of a run".into());
    RunState::from_name(row.get_ref(at)?.as_str()?).ok_or_else(unknown)
}

fn summary(row: &Row<'_>) -> rusqlite::Result<FlowRunSummary> {
    Ok(FlowRunSummary {
        id: row.get(0)?,
        function: row.get(1)?,
        event_id: row.get(2)?,
        event_name: row.get(3)?,
        state: state(row, 4)?,
        due_at: times::read_optional(row, 5)?,
        holder: row.get(6)?,
        failures: row.get(7)?,
        created_at: times::read(row, 8)?,
        started_at: times::read_optional(row, 9)?,
        ended_at: times::read_optional(row, 10)?,
        message: row.get(11)?,
        rerun_of: row.get(12)?,
        version: row.get(13)?,
    })
}

fn detail(row: &Row<'_>) -> rusqlite::Result<FlowRunDetail> {
    Ok(FlowRunDetail { summary: summary(row)?, result: row.get(14)? })
}

fn step(row: &Row<'_>) -> rusqlite::Result<FlowStep> {
    Ok(FlowStep {
        key: StepKey::new(row.get::<_, String>(0)?, row.get(1)?),
        memo: row.get(2)?,
        is_final: row.get(3)?,
        recorded_at: times::read(row, 4)?,
    })
}

fn kept(row: &Row<'_>) -> rusqlite::Result<KeptEvent> {
    Ok(KeptEvent { event: event_at(row, 0)?, received_at: times::read(row, 5)? })
}
