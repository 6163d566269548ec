//! What holds runs back. The decisions stand in [`crate::control`]; here is what they are made from and what they change.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use tokio_postgres::Row;

use super::encode::Array;
use super::flow::{columns, small, unsigned};
use super::session::Patience;
use super::transaction::PostgresTransaction;
use super::{Parameters, PostgresStore, column, limit, publish, statements};
use crate::control::{Candidate, Found, Gathering, Passed, Verdict, decide, not_put_off, pass};
use crate::flow::GATES_SWEPT;
use crate::{Control, FlowClaim, FlowEvent, FlowWait, NewFlowRun, Pause, StoreError, Suspects};

/// The first of the two numbers of an advisory lock on a gate: "gate" in ASCII.
const LOCK_CLASS: i32 = 0x6761_7465;

/// Gates that runs have left, each with how many did.
#[derive(Debug, Default)]
pub(super) struct Freed(BTreeMap<String, i32>);

impl Freed {
    /// Notes the gates of a row, from the column `first` on.
    pub(super) fn add(&mut self, row: &Row, first: usize) -> Result<(), StoreError> {
        for at in [first, first + 1] {
            if let Some(gate) = column::<Option<String>>(row, at)? {
                *self.0.entry(gate).or_default() += 1;
            }
        }
        Ok(())
    }

    /// Lets the next runs of these gates go. Comes last in a transaction: nobody who holds a gate waits for anything but gates.
    pub(super) async fn open(self, transaction: &mut PostgresTransaction, now: Timestamp) -> Result<(), StoreError> {
        if self.0.is_empty() {
            return Ok(());
        }
        let gates = Array::text(self.0.keys().map(|gate| Some(gate.as_str())));
        lock(transaction, &gates).await?;
        let places: Vec<i32> = self.0.values().copied().collect();
        transaction.execute("opening gates", statements::FLOW_RUNS_UNBLOCK, &[&gates, &places, &now]).await?;
        Ok(())
    }
}

async fn lock(transaction: &mut PostgresTransaction, gates: &Array) -> Result<(), StoreError> {
    transaction.execute("locking gates", statements::FLOW_GATES_LOCK, &[&LOCK_CLASS, gates]).await?;
    Ok(())
}

/// How many places of gates are taken. A statement of its own: it has to see what was committed while the locks were awaited.
async fn taken(transaction: &mut PostgresTransaction, gates: &Array) -> Result<HashMap<String, u32>, StoreError> {
    let rows = transaction.query("counting places", statements::FLOW_GATES_TAKEN, &[gates]).await?;
    let count = |row: &Row| Ok((column(row, 0)?, whole(column(row, 1)?)));
    rows.iter().map(count).collect()
}

fn whole(number: i64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Claims runs some of which have gates to pass or others to wait for, in a transaction. Returns the rows of those that passed, and whether
/// all of the places for runs that were asked for were candidates.
pub(super) async fn claim(
    transaction: &mut PostgresTransaction,
    claim: &FlowClaim,
    suspects: &mut Suspects,
    limit_runs: usize,
) -> Result<(Vec<Row>, bool), StoreError> {
    let ((newest, newest_versions), (pinned, versions)) = (columns(&claim.newest), columns(&claim.pinned));
    let parameters: Parameters<'_> = &[&claim.now, &claim.functions, &limit(limit_runs), &pinned, &versions];
    let rows = transaction.query("choosing runs", statements::FLOW_RUNS_CHOOSE, parameters).await?;
    let candidates = rows.iter().map(candidate).collect::<Result<Vec<Candidate>, StoreError>>()?;
    let (candidates, later) = not_put_off(candidates, suspects, claim.now);
    put_off(transaction, &later).await?;
    if candidates.is_empty() {
        return Ok((Vec::new(), rows.len() == limit_runs));
    }
    let gates: BTreeMap<&str, ()> =
        candidates.iter().flat_map(|one| &one.gates).map(|gate| (gate.as_str(), ())).collect();
    let mut counts = HashMap::new();
    if !gates.is_empty() {
        let gates = Array::text(gates.keys().map(|gate| Some(*gate)));
        lock(transaction, &gates).await?;
        counts = taken(transaction, &gates).await?;
    }
    let passed = pass(&candidates, &mut counts, &claim.places);
    block(transaction, &passed).await?;
    let go: Vec<&Passed> = passed.iter().filter(|one| one.stopped_at.is_none()).collect();
    if go.is_empty() {
        return Ok((Vec::new(), rows.len() == limit_runs));
    }
    let ids = Array::text(go.iter().map(|one| Some(one.id.as_str())));
    let holds: Vec<i32> = go.iter().map(|one| gates_held(one)).collect();
    let parameters: Parameters<'_> =
        &[&claim.holder, &claim.now, &claim.lease_until, &ids, &holds, &newest, &newest_versions];
    let claimed = transaction.query("claiming runs", statements::FLOW_RUNS_TAKE, parameters).await?;
    Ok((claimed, rows.len() == limit_runs))
}

fn gates_held(one: &Passed) -> i32 {
    i32::try_from(one.holds).unwrap_or(i32::MAX)
}

async fn put_off(transaction: &mut PostgresTransaction, later: &[(Candidate, Timestamp)]) -> Result<(), StoreError> {
    if later.is_empty() {
        return Ok(());
    }
    let ids = Array::text(later.iter().map(|(one, _)| Some(one.id.as_str())));
    let due: Vec<Timestamp> = later.iter().map(|(_, at)| *at).collect();
    let crashes: Vec<i32> = later.iter().map(|(one, _)| small(one.crashes)).collect();
    transaction.execute("putting runs off", statements::FLOW_RUNS_PUT_OFF, &[&ids, &due, &crashes]).await?;
    Ok(())
}

async fn block(transaction: &mut PostgresTransaction, passed: &[Passed]) -> Result<(), StoreError> {
    let stopped: Vec<(&Passed, &(String, u32))> =
        passed.iter().filter_map(|one| Some((one, one.stopped_at.as_ref()?))).collect();
    if stopped.is_empty() {
        return Ok(());
    }
    let ids = Array::text(stopped.iter().map(|(one, _)| Some(one.id.as_str())));
    let gates = Array::text(stopped.iter().map(|(_, (gate, _))| Some(gate.as_str())));
    let places: Vec<i32> = stopped.iter().map(|(_, (_, places))| small(*places)).collect();
    let holds: Vec<i32> = stopped.iter().map(|(one, _)| gates_held(one)).collect();
    transaction.execute("stopping runs", statements::FLOW_RUNS_BLOCK, &[&ids, &gates, &places, &holds]).await?;
    Ok(())
}

fn candidate(row: &Row) -> Result<Candidate, StoreError> {
    let gates: [Option<String>; 2] = [column(row, 1)?, column(row, 2)?];
    let holds: i16 = column(row, 3)?;
    let holds = usize::try_from(holds).unwrap_or_default();
    let gates = gates.into_iter().flatten().collect();
    Ok(Candidate { id: column(row, 0)?, gates, holds, is_held: column(row, 4)?, crashes: unsigned(column(row, 5)?) })
}

impl PostgresStore {
    /// See [`crate::Store::open_flow_gates`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn open_flow_gates(
        &self,
        places: &[(String, u32)],
        after: &str,
        now: Timestamp,
    ) -> Result<Option<String>, StoreError> {
        let parameters: Parameters<'_> = &[&after, &limit(GATES_SWEPT)];
        let operation = "looking for runs at gates";
        let rows = self.query(Patience::Answer, operation, statements::FLOW_GATES_BLOCKED, parameters).await?;
        let gates = rows.iter().map(|row| column(row, 0)).collect::<Result<Vec<String>, StoreError>>()?;
        if gates.is_empty() {
            return Ok(None);
        }
        let mut transaction = PostgresTransaction::begin(&self.shared).await?;
        let outcome = open(&mut transaction, &gates, places, now).await;
        transaction.settle(outcome).await?;
        Ok(gates.last().cloned().filter(|_| gates.len() == GATES_SWEPT))
    }

    /// See [`crate::Store::flow_refusals`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn flow_refusals(&self, limit_keys: usize) -> Result<Vec<(String, u64, Timestamp)>, StoreError> {
        let parameters: Parameters<'_> = &[&limit(limit_keys)];
        let rows = self.query(Patience::Answer, "reading refusals", statements::FLOW_REFUSALS, parameters).await?;
        let refusal = |row: &Row| {
            let count: i64 = column(row, 1)?;
            Ok((column(row, 0)?, u64::try_from(count).unwrap_or_default(), column(row, 2)?))
        };
        rows.iter().map(refusal).collect()
    }
}

async fn open(
    transaction: &mut PostgresTransaction,
    gates: &[String],
    places: &[(String, u32)],
    now: Timestamp,
) -> Result<(), StoreError> {
    let all = Array::text(gates.iter().map(|gate| Some(gate.as_str())));
    lock(transaction, &all).await?;
    let taken = taken(transaction, &all).await?;
    let free = crate::control::free(gates, &taken, places);
    let (gates, places): (Vec<&str>, Vec<i32>) = free.iter().map(|(gate, free)| (gate.as_str(), small(*free))).unzip();
    if !gates.is_empty() {
        transaction.execute("opening gates", statements::FLOW_RUNS_UNBLOCK, &[&gates, &places, &now]).await?;
    }
    Ok(())
}

/// Starts a run that is held back or holds others back; returns whether it is new.
pub(super) async fn start(
    transaction: &mut PostgresTransaction,
    run: &NewFlowRun,
    event: &FlowEvent,
    freed: &mut Freed,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let found = found(transaction, run).await?;
    let decision = decide(&run.control, &found, event.ts, run.due_at, now);
    for (key, next_at) in &decision.paces {
        transaction.execute("noting a start", statements::FLOW_PACE_WRITE, &[key, next_at]).await?;
    }
    let (joined, position, is_new) = match &decision.verdict {
        Verdict::Known => return Ok(false),
        Verdict::Limited { key } => {
            transaction.execute("counting a refusal", statements::FLOW_PACE_REFUSE, &[key, &now]).await?;
            (None, 1, false)
        }
        Verdict::Skipped { .. } => (None, 1, false),
        Verdict::Joined { run: gathering, position, due_at, is_full, replaces } => {
            let event_key = replaces.then_some(&event.key);
            let (expires_at, end_by) = (run.expires_at(), run.end_by);
            let parameters: Parameters<'_> =
                &[gathering, &small(*position), due_at, is_full, &event_key, &expires_at, &end_by];
            transaction.execute("joining a run", statements::FLOW_RUN_JOIN, parameters).await?;
            if *replaces {
                let waits: Vec<FlowWait> =
                    run.cancels.iter().map(|wait| FlowWait { run: gathering.clone(), ..wait.clone() }).collect();
                let all = true;
                transaction
                    .execute("forgetting waits", statements::FLOW_WAITS_FORGET_CHANGED, &[gathering, &all])
                    .await?;
                publish::register(transaction, &waits.iter().collect::<Vec<_>>()).await?;
            }
            (Some(gathering), *position, false)
        }
        Verdict::Created { due_at, pause, events_max, replaced } => {
            if let Some(replaced) = replaced {
                let message = format!("called off: {} of the same key took its place", event.id);
                publish::cancel(transaction, &[(replaced.as_str(), message)], freed, now).await?;
            }
            if !create(transaction, run, &event.key, *due_at, *pause, *events_max, now).await? {
                return Ok(false);
            }
            publish::register(transaction, &run.cancels.iter().collect::<Vec<_>>()).await?;
            (Some(&run.id), 1, true)
        }
    };
    if let Some(reason) = decision.verdict.reason(&run.control) {
        let parameters: Parameters<'_> =
            &[&run.function, &run.dedupe_key, &event.key, &joined, &small(position), &reason, &now];
        transaction.execute("noting an event of a run", statements::FLOW_RUN_EVENTS_NOTE, parameters).await?;
    }
    Ok(is_new)
}

async fn found(transaction: &mut PostgresTransaction, run: &NewFlowRun) -> Result<Found, StoreError> {
    let Control { throttle, rate_limit, gather, singleton, .. } = &run.control;
    let slot = gather.as_ref().map(|gather| &gather.key);
    let singleton = singleton.as_ref().map(|singleton| &singleton.key);
    let pace = |pace: &Option<crate::Pace>| pace.as_ref().map(|pace| pace.key.clone());
    let (throttle, rate) = (pace(throttle), pace(rate_limit));
    let parameters: Parameters<'_> = &[&run.function, &run.dedupe_key, &slot, &singleton, &throttle, &rate];
    let rows = transaction.query("looking at limits", statements::FLOW_CONTROL_READ, parameters).await?;
    let Some(row) = rows.first() else { return Ok(Found::default()) };
    let gathering = match column::<Option<String>>(row, 1)? {
        Some(run) => Some(Gathering {
            run,
            events: unsigned(column(row, 2)?),
            created_at: column(row, 3)?,
            event_ts: column(row, 4)?,
        }),
        None => None,
    };
    Ok(Found {
        is_known: column(row, 0)?,
        gathering,
        present: column(row, 5)?,
        throttle_next: column(row, 6)?,
        rate_next: column(row, 7)?,
    })
}

/// Writes the run; false when there is one of its key.
async fn create(
    transaction: &mut PostgresTransaction,
    run: &NewFlowRun,
    event_key: &str,
    due_at: Timestamp,
    pause: Option<Pause>,
    events_max: u32,
    now: Timestamp,
) -> Result<bool, StoreError> {
    let control = &run.control;
    let rank = (due_at <= now).then_some(control.rank);
    let gathers = matches!(pause, Some(Pause::Batch | Pause::Debounce));
    let slot = control.gather.as_ref().filter(|_| gathers).map(|gather| &gather.key);
    let singleton = control.singleton.as_ref().map(|singleton| &singleton.key);
    let (gate_1, gate_2, pause) = (control.gate(0), control.gate(1), pause.map(Pause::name));
    let parameters: Parameters<'_> = &[
        &run.id,
        &run.function,
        &run.dedupe_key,
        &event_key,
        &due_at,
        &now,
        &rank,
        &gate_1,
        &gate_2,
        &slot,
        &small(events_max),
        &pause,
        &singleton,
        &run.expires_at(),
        &run.end_by,
    ];
    let rows = transaction.query("starting a run", statements::FLOW_RUN_START_HELD, parameters).await?;
    Ok(!rows.is_empty())
}
