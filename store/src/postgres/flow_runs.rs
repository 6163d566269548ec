//! Looking at runs. What each operation does stands at [`crate::Store`].

use billhook_core::run::RunState;
use billhook_core::step::StepKey;
use tokio_postgres::Row;

use super::flow::event_at;
use super::session::Patience;
use super::{Parameters, PostgresStore, column, count, limit, statements};
use crate::{
    EVENT_RUNS_MAX, FlowEventFilter, FlowRunCount, FlowRunDetail, FlowRunFilter, FlowRunSummary, FlowStep, KeptEvent,
    StoreError,
};

impl PostgresStore {
    /// See [`crate::Store::list_flow_runs`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn list_flow_runs(&self, filter: FlowRunFilter) -> Result<Vec<FlowRunSummary>, StoreError> {
        let FlowRunFilter { function, state, event_id, created_after, created_before, before, limit: most } = filter;
        let (state, most) = (state.map(RunState::name), limit(most));
        let parameters: Parameters<'_> =
            &[&function, &state, &event_id, &created_after, &created_before, &before, &most];
        let rows = self.query(Patience::Housekeeping, "listing runs", statements::FLOW_RUNS_LIST, parameters).await?;
        rows.iter().map(summary).collect()
    }

    /// See [`crate::Store::flow_run_detail`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn flow_run_detail(&self, id: &str) -> Result<Option<FlowRunDetail>, StoreError> {
        let rows = self.query(Patience::Answer, "reading a run", statements::FLOW_RUNS_DETAIL, &[&id]).await?;
        rows.first().map(detail).transpose()
    }

    /// See [`crate::Store::flow_run_steps`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn flow_run_steps(&self, run: &str) -> Result<Vec<FlowStep>, StoreError> {
        let rows = self.query(Patience::Answer, "reading steps", statements::FLOW_RUNS_STEPS, &[&run]).await?;
        rows.iter().map(step).collect()
    }

    /// See [`crate::Store::flow_run_counts`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn flow_run_counts(&self) -> Result<Vec<FlowRunCount>, StoreError> {
        let rows = self.query(Patience::Housekeeping, "counting runs", statements::FLOW_RUNS_COUNT, &[]).await?;
        let counted = |row: &Row| {
            Ok(FlowRunCount { function: column(row, 0)?, state: state(row, 1)?, runs: count(column(row, 2)?) })
        };
        rows.iter().map(counted).collect()
    }

    /// See [`crate::Store::flow_event`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn flow_event(&self, id: &str) -> Result<Option<KeptEvent>, StoreError> {
        let rows = self.query(Patience::Answer, "reading an event", statements::FLOW_RUNS_EVENT, &[&id]).await?;
        rows.first().map(event).transpose()
    }

    /// See [`crate::Store::list_flow_events`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn list_flow_events(&self, filter: FlowEventFilter) -> Result<Vec<KeptEvent>, StoreError> {
        let parameters: Parameters<'_> = &[&filter.name, &filter.before, &limit(filter.limit)];
        let rows =
            self.query(Patience::Housekeeping, "listing events", statements::FLOW_RUNS_EVENTS, parameters).await?;
        rows.iter().map(event).collect()
    }

    /// See [`crate::Store::flow_event_runs`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn flow_event_runs(&self, event_id: &str) -> Result<Vec<FlowRunDetail>, StoreError> {
        let parameters: Parameters<'_> = &[&event_id, &limit(EVENT_RUNS_MAX)];
        let operation = "reading the runs of an event";
        let rows = self.query(Patience::Answer, operation, statements::FLOW_RUNS_OF_EVENT, parameters).await?;
        rows.iter().map(detail).collect()
    }
}

pub(super) fn state(row: &Row, at: usize) -> Result<RunState, StoreError> {
    RunState::from_name(column(row, at)?)
        .ok_or_else(|| StoreError::Corrupt("billhook.flow_runs holds an unknown state".to_owned()))
}

fn summary(row: &Row) -> Result<FlowRunSummary, StoreError> {
    Ok(FlowRunSummary {
        id: column(row, 0)?,
        function: column(row, 1)?,
        event_id: column(row, 2)?,
        event_name: column(row, 3)?,
        state: state(row, 4)?,
        due_at: column(row, 5)?,
        holder: column(row, 6)?,
        failures: u32::try_from(column::<i32>(row, 7)?).unwrap_or(0),
        created_at: column(row, 8)?,
        started_at: column(row, 9)?,
        ended_at: column(row, 10)?,
        message: column(row, 11)?,
        rerun_of: column(row, 12)?,
        version: column(row, 13)?,
    })
}

fn detail(row: &Row) -> Result<FlowRunDetail, StoreError> {
    Ok(FlowRunDetail { summary: summary(row)?, result: column(row, 14)? })
}

fn step(row: &Row) -> Result<FlowStep, StoreError> {
    let occurrence = u32::try_from(column::<i32>(row, 1)?).unwrap_or(0);
    Ok(FlowStep {
        key: StepKey::new(column::<String>(row, 0)?, occurrence),
        memo: column(row, 2)?,
        is_final: column(row, 3)?,
        recorded_at: column(row, 4)?,
    })
}

pub(super) fn event(row: &Row) -> Result<KeptEvent, StoreError> {
    Ok(KeptEvent { event: event_at(row, 0)?, received_at: column(row, 5)? })
}
