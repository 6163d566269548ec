//! Runs of durable functions. What each operation does stands at [`crate::Store`] and [`crate::Transaction`].

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use billhook_core::run::RunState;
use billhook_core::step::StepKey;
use jiff::Timestamp;
use tokio_postgres::Row;

use super::encode::Array;
use super::session::Patience;
use super::transaction::PostgresTransaction;
use super::{Parameters, PostgresStore, column, limit, statements};
use crate::{ClaimedRun, FlowEvent, FlowRun, NewFlowRun, RunCommit, RunNext, StepRecord, StoreError};

impl PostgresStore {
    /// See [`crate::Store::claim_flow_runs`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn claim_flow_runs(
        &self,
        holder: &str,
        functions: &[String],
        now: Timestamp,
        lease_until: Timestamp,
        limit_runs: usize,
    ) -> Result<Vec<ClaimedRun>, StoreError> {
        let parameters: Parameters<'_> = &[&holder, &now, &lease_until, &limit(limit_runs), &functions];
        let rows = self.query(Patience::Answer, "claiming runs", statements::FLOW_RUNS_CLAIM, parameters).await?;
        let mut runs = rows.iter().map(claimed).collect::<Result<Vec<ClaimedRun>, StoreError>>()?;
        let ids: Vec<&str> = runs.iter().map(|run| run.id.as_str()).collect();
        if ids.is_empty() {
            return Ok(runs);
        }
        // Nobody else writes what is recorded of runs that are held.
        let mut memos: HashMap<String, Vec<(StepKey, String)>> = HashMap::new();
        for row in self.query(Patience::Answer, "reading steps", statements::FLOW_STEPS_READ, &[&ids]).await? {
            memos.entry(column(&row, 0)?).or_default().push(memo(&row)?);
        }
        runs.iter_mut().for_each(|run| run.memos = memos.remove(&run.id).unwrap_or_default());
        Ok(runs)
    }

    /// See [`crate::Store::commit_flow_runs`].
    ///
    /// # Errors
    /// When the database is away or too slow, or when it collided with another transaction.
    pub async fn commit_flow_runs(&self, commits: Vec<RunCommit>, now: Timestamp) -> Result<Vec<bool>, StoreError> {
        let mut transaction = PostgresTransaction::begin(&self.shared).await?;
        match commit(&mut transaction, &commits, now).await {
            Ok(written) => {
                transaction.commit().await?;
                Ok(written)
            }
            Err(error) => {
                transaction.roll_back().await;
                Err(error)
            }
        }
    }

    /// See [`crate::Store::renew_flow_runs`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn renew_flow_runs(
        &self,
        runs: &[(String, i64)],
        lease_until: Timestamp,
    ) -> Result<Vec<String>, StoreError> {
        let ids = Array::text(runs.iter().map(|(id, _)| Some(id.as_str())));
        let tokens = Array::bigint(runs.iter().map(|(_, token)| Some(*token)));
        let parameters: Parameters<'_> = &[&ids, &tokens, &lease_until];
        let operation = "lengthening leases of runs";
        let rows = self.query(Patience::Answer, operation, statements::FLOW_RUNS_RENEW, parameters).await?;
        rows.iter().map(|row| column(row, 0)).collect()
    }

    /// See [`crate::Store::next_flow_due`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn next_flow_due(&self) -> Result<Option<Timestamp>, StoreError> {
        let rows = self.query(Patience::Answer, "looking for the next run", statements::FLOW_DUE, &[]).await?;
        rows.first().map_or(Ok(None), |row| column(row, 0))
    }

    /// See [`crate::Store::flow_run`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn flow_run(&self, id: &str) -> Result<Option<FlowRun>, StoreError> {
        let rows = self.query(Patience::Answer, "reading a run", statements::FLOW_RUN_READ, &[&id]).await?;
        rows.first().map(run).transpose()
    }

    /// See [`crate::Store::flow_steps`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn flow_steps(&self, run: &str) -> Result<Vec<(StepKey, String)>, StoreError> {
        let rows = self.query(Patience::Answer, "reading steps", statements::FLOW_STEPS_READ, &[&vec![run]]).await?;
        rows.iter().map(memo).collect()
    }
}

/// See [`crate::Transaction::start_flow_runs`].
pub(super) async fn start(
    transaction: &mut PostgresTransaction,
    runs: &[NewFlowRun],
    now: Timestamp,
) -> Result<Vec<bool>, StoreError> {
    let events: BTreeMap<&str, &FlowEvent> = runs.iter().map(|run| (run.event.id.as_str(), &run.event)).collect();
    let text = |field: fn(&FlowEvent) -> &String| Array::text(events.values().map(|event| Some(field(event).as_str())));
    let (ids, names, data) = (text(|event| &event.id), text(|event| &event.name), text(|event| &event.data));
    let times = Array::timestamps(events.values().map(|event| event.ts));
    let received = Array::timestamps(events.values().map(|_| now));
    let parameters: Parameters<'_> = &[&ids, &names, &data, &times, &received];
    transaction.execute("writing events", statements::FLOW_EVENTS_INSERT, parameters).await?;

    // Sorted for the order of locks in the unique index.
    let mut sorted: Vec<&NewFlowRun> = runs.iter().collect();
    sorted.sort_by_key(|run| (&run.function, &run.dedupe_key));
    let text = |field: fn(&NewFlowRun) -> &String| Array::text(sorted.iter().map(|run| Some(field(run).as_str())));
    let (ids, functions) = (text(|run| &run.id), text(|run| &run.function));
    let (keys, events) = (text(|run| &run.dedupe_key), text(|run| &run.event.id));
    let due = Array::timestamps(sorted.iter().map(|run| run.due_at));
    let created = Array::timestamps(sorted.iter().map(|_| now));
    let parameters: Parameters<'_> = &[&ids, &functions, &keys, &events, &due, &created];
    let rows = transaction.query("starting runs", statements::FLOW_RUNS_START, parameters).await?;
    let started = rows.iter().map(|row| column(row, 0)).collect::<Result<HashSet<String>, StoreError>>()?;
    Ok(runs.iter().map(|run| started.contains(&run.id)).collect())
}

pub(super) async fn commit(
    transaction: &mut PostgresTransaction,
    commits: &[RunCommit],
    now: Timestamp,
) -> Result<Vec<bool>, StoreError> {
    let held: BTreeSet<(&str, i64)> = commits.iter().map(|one| (one.run.as_str(), one.token)).collect();
    let ids = Array::text(held.iter().map(|(id, _)| Some(*id)));
    let tokens = Array::bigint(held.iter().map(|(_, token)| Some(*token)));
    let rows = transaction.query("checking leases", statements::FLOW_RUNS_OWNED, &[&ids, &tokens]).await?;
    let token = |row: &Row| Ok((column(row, 0)?, column(row, 1)?));
    let owned = rows.iter().map(token).collect::<Result<HashMap<String, i64>, StoreError>>()?;
    // A run's former holder may stand in the same batch as its present one.
    let is_written = |one: &RunCommit| owned.get(&one.run) == Some(&one.token);
    // One statement cannot write a row twice: the last record of a step stands.
    let mut records: BTreeMap<(&str, &StepKey), &StepRecord> = BTreeMap::new();
    let mut next: BTreeMap<&str, &RunNext> = BTreeMap::new();
    for one in commits.iter().filter(|one| is_written(one)) {
        records.extend(one.records.iter().map(|record| ((one.run.as_str(), &record.key), record)));
        next.extend(one.next.as_ref().map(|next| (one.run.as_str(), next)));
    }
    record(transaction, &records, now).await?;
    advance(transaction, &next, now).await?;
    Ok(commits.iter().map(is_written).collect())
}

async fn record(
    transaction: &mut PostgresTransaction,
    records: &BTreeMap<(&str, &StepKey), &StepRecord>,
    now: Timestamp,
) -> Result<(), StoreError> {
    if records.is_empty() {
        return Ok(());
    }
    let runs = Array::text(records.keys().map(|(run, _)| Some(*run)));
    let steps = Array::text(records.keys().map(|(_, key)| Some(key.id.as_str())));
    let occurrences: Vec<i32> = records.keys().map(|(_, key)| small(key.occurrence)).collect();
    let memos = Array::text(records.values().map(|record| Some(record.memo.as_str())));
    let finals = Array::boolean(records.values().map(|record| Some(record.is_final)));
    let parameters: Parameters<'_> = &[&runs, &steps, &occurrences, &memos, &finals, &now];
    transaction.execute("recording steps", statements::FLOW_STEPS_RECORD, parameters).await?;
    Ok(())
}

async fn advance(
    transaction: &mut PostgresTransaction,
    next: &BTreeMap<&str, &RunNext>,
    now: Timestamp,
) -> Result<(), StoreError> {
    if next.is_empty() {
        return Ok(());
    }
    let runs = Array::text(next.keys().map(|run| Some(*run)));
    let states = Array::text(next.values().map(|next| Some(next.state.name())));
    let due: Vec<Option<Timestamp>> = next.values().map(|next| next.due_at).collect();
    let failures: Vec<i32> = next.values().map(|next| small(next.failures)).collect();
    let results = Array::text(next.values().map(|next| next.result.as_deref()));
    let messages = Array::text(next.values().map(|next| next.message.as_deref()));
    let parameters: Parameters<'_> = &[&runs, &states, &due, &failures, &results, &messages, &now];
    transaction.execute("moving runs on", statements::FLOW_RUNS_NEXT, parameters).await?;
    Ok(())
}

fn small(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

fn unsigned(number: i32) -> u32 {
    u32::try_from(number).unwrap_or(0)
}

fn claimed(row: &Row) -> Result<ClaimedRun, StoreError> {
    let event = FlowEvent { id: column(row, 4)?, name: column(row, 5)?, data: column(row, 6)?, ts: column(row, 7)? };
    Ok(ClaimedRun {
        id: column(row, 0)?,
        function: column(row, 1)?,
        token: column(row, 2)?,
        failures: unsigned(column(row, 3)?),
        event,
        memos: Vec::new(),
    })
}

fn memo(row: &Row) -> Result<(StepKey, String), StoreError> {
    Ok((StepKey::new(column::<String>(row, 1)?, unsigned(column(row, 2)?)), column(row, 3)?))
}

fn run(row: &Row) -> Result<FlowRun, StoreError> {
    Ok(FlowRun {
        id: column(row, 0)?,
        function: column(row, 1)?,
        event_id: column(row, 2)?,
        state: RunState::from_name(column(row, 3)?)
            .ok_or_else(|| StoreError::Corrupt("billhook.flow_runs holds an unknown state".to_owned()))?,
        due_at: column(row, 4)?,
        failures: unsigned(column(row, 5)?),
        created_at: column(row, 6)?,
        started_at: column(row, 7)?,
        ended_at: column(row, 8)?,
        result: column(row, 9)?,
        message: column(row, 10)?,
    })
}
