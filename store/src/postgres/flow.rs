//! Runs of durable functions. What each operation does stands at [`crate::Store`] and [`crate::Transaction`].

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use billhook_core::run::RunState;
use billhook_core::step::StepKey;
use jiff::Timestamp;
use tokio_postgres::Row;

use super::control::{self, Freed};
use super::encode::Array;
use super::session::Patience;
use super::transaction::PostgresTransaction;
use super::{Parameters, PostgresStore, column, limit, publish, statements};
use crate::flow::{CLAIM_ROUNDS, CommitPassed, LOOKBACK_MAX, SEQUENCE_SLACK, event_names};
use crate::{
    Blocked, ClaimedRun, FlowClaim, FlowEvent, FlowRun, FlowVersion, Lookback, Pause, Publication, RunCommit, RunNext,
    Seen, StepRecord, StoreError, Suspects, WaitMatcher,
};

impl PostgresStore {
    /// See [`crate::Store::claim_flow_runs`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn claim_flow_runs(&self, claim: FlowClaim) -> Result<Vec<ClaimedRun>, StoreError> {
        let rows = self.claim_rows(&claim).await?;
        let mut runs = rows.iter().map(claimed).collect::<Result<Vec<ClaimedRun>, StoreError>>()?;
        match self.complete(&claim, &rows, &mut runs).await {
            Ok(()) => Ok(runs),
            Err(error) => {
                // They are claimed, and whoever asked will not hear of it: left alone, each would count a death when its lease ends.
                let runs: Vec<(String, i64)> = runs.into_iter().map(|run| (run.id, run.token)).collect();
                if let Err(failed) = self.release_flow_runs(&runs, claim.now).await {
                    tracing::debug!(error = %failed, "claimed runs could not be given back; their leases end");
                }
                Err(error)
            }
        }
    }

    /// Reads what belongs to runs that are claimed, and ends their waits whose time is over.
    async fn complete(&self, claim: &FlowClaim, rows: &[Row], runs: &mut [ClaimedRun]) -> Result<(), StoreError> {
        let ids: Vec<&str> = runs.iter().map(|run| run.id.as_str()).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let some =
            |at: usize| rows.iter().map(|row| column::<bool>(row, at)).collect::<Result<Vec<bool>, StoreError>>();
        if some(12)?.contains(&true) {
            let parameters: Parameters<'_> = &[&ids, &claim.now, &claim.over];
            self.execute(Patience::Answer, "ending waits", statements::FLOW_WAITS_OVER, parameters).await?;
        }
        let mut batches: HashMap<String, Vec<FlowEvent>> = HashMap::new();
        if some(14)?.contains(&true) {
            let operation = "reading batches";
            for row in self.query(Patience::Answer, operation, statements::FLOW_RUN_EVENTS_READ, &[&ids]).await? {
                batches.entry(column(&row, 0)?).or_default().push(event_at(&row, 1)?);
            }
        }
        // Nobody else changes what is recorded of runs that are held; what comes for them is read at the next claim.
        let mut memos: HashMap<String, Vec<(StepKey, String)>> = HashMap::new();
        for row in self.query(Patience::Answer, "reading steps", statements::FLOW_STEPS_READ, &[&ids]).await? {
            memos.entry(column(&row, 0)?).or_default().push(memo(&row)?);
        }
        for run in runs {
            run.memos = memos.remove(&run.id).unwrap_or_default();
            run.batch = batches.remove(&run.id).unwrap_or_default();
        }
        Ok(())
    }

    async fn claim_rows(&self, claim: &FlowClaim) -> Result<Vec<Row>, StoreError> {
        if !claim.places.is_empty() {
            return self.claim_with_care(claim, Vec::new()).await;
        }
        let FlowClaim { holder, functions, now, lease_until, limit: limit_runs, suspects, .. } = claim;
        let (limit_runs, suspect_from) = (limit(*limit_runs), small(suspects.from));
        let ((newest, newest_versions), (pinned, versions)) = (columns(&claim.newest), columns(&claim.pinned));
        let parameters: Parameters<'_> = &[
            holder,
            now,
            lease_until,
            &limit_runs,
            functions,
            &suspect_from,
            &newest,
            &newest_versions,
            &pinned,
            &versions,
        ];
        let rows = self.query(Patience::Answer, "claiming runs", statements::FLOW_RUNS_CLAIM, parameters).await?;
        let (mut claimed, mut has_suspects) = (Vec::with_capacity(rows.len()), false);
        for row in rows {
            if column(&row, 16)? { has_suspects = true } else { claimed.push(row) }
        }
        if has_suspects { self.claim_with_care(claim, claimed).await } else { Ok(claimed) }
    }

    /// Claims when some function has a limit or workers died with some run; `rows` are claimed already. What finds no place is out of the
    /// way afterwards, so that another look finds what does.
    async fn claim_with_care(&self, claim: &FlowClaim, mut rows: Vec<Row>) -> Result<Vec<Row>, StoreError> {
        let mut suspects = claim.suspects;
        for _ in 0..CLAIM_ROUNDS {
            let room = claim.limit.saturating_sub(rows.len());
            match self.claim_once(claim, &mut suspects, room).await {
                Ok((claimed, has_more)) => {
                    rows.extend(claimed);
                    if !has_more || rows.len() >= claim.limit {
                        break;
                    }
                }
                Err(error) if rows.is_empty() => return Err(error),
                Err(error) => {
                    // What is claimed already has to be executed.
                    tracing::warn!(%error, "not all runs that are due could be claimed; the others are");
                    break;
                }
            }
        }
        Ok(rows)
    }

    async fn claim_once(
        &self,
        claim: &FlowClaim,
        suspects: &mut Suspects,
        room: usize,
    ) -> Result<(Vec<Row>, bool), StoreError> {
        let mut transaction = PostgresTransaction::begin(&self.shared).await?;
        let outcome = control::claim(&mut transaction, claim, suspects, room).await;
        transaction.settle(outcome).await
    }

    /// See [`crate::Store::commit_flow_runs`].
    ///
    /// # Errors
    /// When the database is away or too slow, or when it collided with another transaction.
    pub async fn commit_flow_runs(
        &self,
        commits: Vec<RunCommit>,
        matcher: Arc<dyn WaitMatcher>,
        now: Timestamp,
    ) -> Result<Vec<bool>, StoreError> {
        let mut transaction = PostgresTransaction::begin(&self.shared).await?;
        let outcome = commit(&mut transaction, &commits, &*matcher, now).await;
        if outcome.is_ok() {
            CommitPassed::of(&commits).hit("before_record_commit", "before_end_commit");
        }
        transaction.settle(outcome).await
    }

    /// See [`crate::Store::release_flow_runs`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn release_flow_runs(&self, runs: &[(String, i64)], now: Timestamp) -> Result<(), StoreError> {
        let mut transaction = PostgresTransaction::begin(&self.shared).await?;
        let outcome = release(&mut transaction, runs, now).await;
        transaction.settle(outcome).await
    }

    /// See [`crate::Store::flow_lookback`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn flow_lookback(&self, lookback: &Lookback) -> Result<Seen, StoreError> {
        let Lookback { run, name, event_type, since, skip } = lookback;
        let skip = limit(*skip);
        let parameters: Parameters<'_> = &[name, since, &limit(LOOKBACK_MAX), &skip];
        let operation = "looking for earlier events";
        let rows = self.query(Patience::Answer, operation, statements::FLOW_LOOKBACK_EVENTS, parameters).await?;
        let events = rows.iter().map(|row| event_at(row, 0)).collect::<Result<Vec<FlowEvent>, StoreError>>()?;
        let Some(event_type) = event_type else { return Ok(Seen { events, deliveries: Vec::new() }) };
        let parameters: Parameters<'_> = &[run, &SEQUENCE_SLACK, event_type, since, &limit(LOOKBACK_MAX), &skip];
        let rows = self.query(Patience::Answer, operation, statements::FLOW_LOOKBACK_DELIVERIES, parameters).await?;
        let deliveries = rows.iter().map(|row| column(row, 0)).collect::<Result<Vec<Vec<u8>>, StoreError>>()?;
        Ok(Seen { events, deliveries })
    }

    /// See [`crate::Store::due_flow_events`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn due_flow_events(
        &self,
        now: Timestamp,
        limit_events: usize,
    ) -> Result<(Vec<FlowEvent>, Option<Timestamp>), StoreError> {
        let operation = "looking for scheduled events";
        let parameters: Parameters<'_> = &[&limit(limit_events)];
        let rows = self.query(Patience::Answer, operation, statements::FLOW_EVENTS_DUE, parameters).await?;
        let mut due = Vec::new();
        for row in &rows {
            let at: Timestamp = column(row, 5)?;
            if at > now {
                return Ok((due, Some(at)));
            }
            due.push(event_at(row, 0)?);
        }
        Ok((due, None))
    }

    /// See [`crate::Store::cancel_flow_event`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn cancel_flow_event(&self, key: &str, now: Timestamp) -> Result<bool, StoreError> {
        let parameters: Parameters<'_> = &[&key, &now];
        let changed = self
            .execute(Patience::Answer, "calling off a scheduled event", statements::FLOW_EVENTS_CANCEL, parameters)
            .await?;
        Ok(changed > 0)
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

pub(super) async fn commit(
    transaction: &mut PostgresTransaction,
    commits: &[RunCommit],
    matcher: &dyn WaitMatcher,
    now: Timestamp,
) -> Result<Vec<bool>, StoreError> {
    let paths = publish::attend(transaction, &event_names(commits)).await?;
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
    let mine: Vec<&RunCommit> = commits.iter().filter(|one| is_written(one)).collect();
    publish::register(transaction, &mine.iter().flat_map(|one| &one.waits).collect::<Vec<_>>()).await?;
    let publications: Vec<Publication> = mine.iter().flat_map(|one| one.publications.iter().cloned()).collect();
    let mut freed = Freed::default();
    if !publications.is_empty() {
        publish::publish(transaction, &publications, &paths, matcher, &mut freed, now).await?;
    }
    let got_on: Vec<&str> = mine.iter().filter(|one| one.got_on).map(|one| one.run.as_str()).collect();
    if !got_on.is_empty() {
        transaction.execute("noting that runs got on", statements::FLOW_RUNS_GOT_ON, &[&got_on]).await?;
    }
    advance(transaction, &next, &mut freed, now).await?;
    freed.open(transaction, now).await?;
    Ok(commits.iter().map(is_written).collect())
}

async fn release(
    transaction: &mut PostgresTransaction,
    runs: &[(String, i64)],
    now: Timestamp,
) -> Result<(), StoreError> {
    let ids = Array::text(runs.iter().map(|(id, _)| Some(id.as_str())));
    let tokens = Array::bigint(runs.iter().map(|(_, token)| Some(*token)));
    let parameters: Parameters<'_> = &[&ids, &tokens, &now];
    let rows = transaction.query("giving runs back", statements::FLOW_RUNS_RELEASE, parameters).await?;
    let mut freed = Freed::default();
    rows.iter().try_for_each(|row| freed.add(row, 0))?;
    freed.open(transaction, now).await
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
    freed: &mut Freed,
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
    let rows = transaction.query("moving runs on", statements::FLOW_RUNS_NEXT, parameters).await?;
    rows.iter().try_for_each(|row| freed.add(row, 0))?;
    let over: Vec<&str> = next.iter().filter(|(_, next)| next.state.is_over()).map(|(run, _)| *run).collect();
    if !over.is_empty() {
        let failed: Vec<&str> =
            next.iter().filter(|(_, next)| next.state == RunState::Failed).map(|(run, _)| *run).collect();
        transaction.execute("forgetting waits", statements::FLOW_WAITS_FORGET, &[&over, &failed]).await?;
    }
    Ok(())
}

/// Versions as two columns.
pub(super) fn columns(versions: &[FlowVersion]) -> (Vec<&str>, Vec<&str>) {
    versions.iter().map(|one| (one.function.as_str(), one.version.as_str())).unzip()
}

pub(super) fn small(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

pub(super) fn unsigned(number: i32) -> u32 {
    u32::try_from(number).unwrap_or(0)
}

/// An event whose five columns begin at `first`.
pub(super) fn event_at(row: &Row, first: usize) -> Result<FlowEvent, StoreError> {
    Ok(FlowEvent {
        key: column(row, first)?,
        id: column(row, first + 1)?,
        name: column(row, first + 2)?,
        data: column(row, first + 3)?,
        ts: column(row, first + 4)?,
    })
}

fn claimed(row: &Row) -> Result<ClaimedRun, StoreError> {
    Ok(ClaimedRun {
        id: column(row, 0)?,
        function: column(row, 1)?,
        token: column(row, 2)?,
        failures: unsigned(column(row, 3)?),
        crashes: unsigned(column(row, 4)?),
        is_first: column(row, 5)?,
        created_at: column(row, 6)?,
        version: column(row, 15)?,
        event: event_at(row, 7)?,
        memos: Vec::new(),
        rank: column(row, 13)?,
        batch: Vec::new(),
    })
}

fn memo(row: &Row) -> Result<(StepKey, String), StoreError> {
    Ok((StepKey::new(column::<String>(row, 1)?, unsigned(column(row, 2)?)), column(row, 3)?))
}

fn run(row: &Row) -> Result<FlowRun, StoreError> {
    Ok(FlowRun {
        id: column(row, 0)?,
        function: column(row, 1)?,
        event_key: column(row, 2)?,
        state: RunState::from_name(column(row, 3)?)
            .ok_or_else(|| StoreError::Corrupt("billhook.flow_runs holds an unknown state".to_owned()))?,
        due_at: column(row, 4)?,
        failures: unsigned(column(row, 5)?),
        created_at: column(row, 6)?,
        started_at: column(row, 7)?,
        ended_at: column(row, 8)?,
        result: column(row, 9)?,
        message: column(row, 10)?,
        blocked: blocked(row)?,
        pause: column::<Option<String>>(row, 14)?.as_deref().and_then(Pause::from_name),
        events: (unsigned(column(row, 15)?), unsigned(column(row, 16)?)),
    })
}

fn blocked(row: &Row) -> Result<Option<Blocked>, StoreError> {
    let Some(gate) = column::<Option<String>>(row, 11)? else { return Ok(None) };
    let taken: i64 = column(row, 12)?;
    let places: Option<i32> = column(row, 13)?;
    let taken = u32::try_from(taken).unwrap_or(u32::MAX);
    Ok(Some(Blocked { gate, taken, places: places.map(unsigned).unwrap_or_default() }))
}
