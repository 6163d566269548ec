//! Steering runs. What each operation does stands at [`crate::Store`].

use billhook_core::run::RunState;
use jiff::Timestamp;
use tokio_postgres::Row;

use super::control::Freed;
use super::flow_runs::{event, state};
use super::session::Patience;
use super::transaction::PostgresTransaction;
use super::{Parameters, PostgresStore, column, count, limit, publish, statements, whole};
use crate::control::singleton_lock;
use crate::flow::NothingSent;
use crate::flow_orders::{RunOrder, cancellable, may_be_rerun, storable};
use crate::{Cancellation, CancellationSummary, EventName, PausedFunction, Redelivery, StoreError, Verdict};

impl PostgresStore {
    /// Changes a run as a person wants it.
    ///
    /// # Errors
    /// When the database is away or too slow, or when it collided with another transaction.
    pub(crate) async fn order_flow_run(
        &self,
        id: &str,
        order: RunOrder,
        now: Timestamp,
    ) -> Result<Verdict, StoreError> {
        let mut transaction = PostgresTransaction::begin(&self.shared).await?;
        let outcome = order_run(&mut transaction, id, order, now).await;
        transaction.settle(outcome).await
    }

    /// See [`crate::Store::rerun_flow_run`].
    ///
    /// # Errors
    /// When the database is away or too slow, or when it collided with another transaction.
    pub async fn rerun_flow_run(&self, id: &str, new_id: &str, now: Timestamp) -> Result<Verdict, StoreError> {
        let mut transaction = PostgresTransaction::begin(&self.shared).await?;
        let outcome = rerun(&mut transaction, id, new_id, now).await;
        transaction.settle(outcome).await
    }

    /// See [`crate::Store::cancellable_flow_runs`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn cancellable_flow_runs(&self, cancellation: &Cancellation) -> Result<u64, StoreError> {
        let Cancellation { function, event_id, created_after, created_before, .. } = cancellation;
        let parameters: Parameters<'_> = &[function, &cancellable(), created_before, created_after, event_id];
        let operation = "counting runs to be called off";
        let rows = self.query(Patience::Housekeeping, operation, statements::FLOW_RUNS_CANCELLABLE, parameters).await?;
        rows.first().map_or(Ok(0), |row| column(row, 0).map(count))
    }

    /// See [`crate::Store::cancel_flow_runs`].
    ///
    /// # Errors
    /// When the database is away or too slow, or when it collided with another transaction.
    pub async fn cancel_flow_runs(
        &self,
        cancellation: &Cancellation,
        limit_runs: usize,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let mut transaction = PostgresTransaction::begin(&self.shared).await?;
        let outcome = cancel_many(&mut transaction, cancellation, limit_runs, now).await;
        transaction.settle(outcome).await
    }

    /// See [`crate::Store::flow_cancellations`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn flow_cancellations(
        &self,
        before: Option<&str>,
        limit_cancellations: usize,
    ) -> Result<Vec<CancellationSummary>, StoreError> {
        let parameters: Parameters<'_> = &[&before, &limit(limit_cancellations)];
        let operation = "listing cancellations";
        let rows = self.query(Patience::Answer, operation, statements::FLOW_RUNS_CANCELLATIONS, parameters).await?;
        rows.iter().map(cancellation_summary).collect()
    }

    /// See [`crate::Store::redeliver_flow_event`].
    ///
    /// # Errors
    /// When the database is away or too slow, or when it collided with another transaction.
    pub async fn redeliver_flow_event(
        &self,
        event_id: &str,
        runs: &[Redelivery],
        now: Timestamp,
    ) -> Result<Option<Vec<bool>>, StoreError> {
        let mut transaction = PostgresTransaction::begin(&self.shared).await?;
        let outcome = redeliver(&mut transaction, event_id, runs, now).await;
        transaction.settle(outcome).await
    }

    /// See [`crate::Store::pause_function`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn pause_function(&self, id: &str, reason: &str, now: Timestamp) -> Result<(), StoreError> {
        let parameters: Parameters<'_> = &[&id, &now, &storable(reason)];
        self.execute(Patience::Answer, "pausing a function", statements::FLOW_RUNS_PAUSE, parameters).await.map(|_| ())
    }

    /// See [`crate::Store::resume_function`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn resume_function(&self, id: &str) -> Result<bool, StoreError> {
        let ended = self.execute(Patience::Answer, "resuming a function", statements::FLOW_RUNS_RESUME, &[&id]).await?;
        Ok(ended > 0)
    }

    /// See [`crate::Store::paused_functions`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn paused_functions(&self) -> Result<Vec<PausedFunction>, StoreError> {
        let rows = self.query(Patience::Answer, "reading pauses", statements::FLOW_RUNS_PAUSED, &[]).await?;
        let paused =
            |row: &Row| Ok(PausedFunction { id: column(row, 0)?, paused_at: column(row, 1)?, reason: column(row, 2)? });
        rows.iter().map(paused).collect()
    }
}

/// Locks a run and reads its state and message.
async fn lock(
    transaction: &mut PostgresTransaction,
    id: &str,
) -> Result<Option<(RunState, Option<String>)>, StoreError> {
    let rows = transaction.query("locking a run", statements::FLOW_RUNS_LOCK, &[&id]).await?;
    rows.first().map(|row| Ok((state(row, 0)?, column(row, 1)?))).transpose()
}

async fn order_run(
    transaction: &mut PostgresTransaction,
    id: &str,
    order: RunOrder,
    now: Timestamp,
) -> Result<Verdict, StoreError> {
    let rival = if order.goes_on() { rival(transaction, id).await? } else { None };
    let Some((state, message)) = lock(transaction, id).await? else { return Ok(Verdict::NotFound) };
    let Ok(change) = order.change(state, message.as_deref(), now) else { return Ok(Verdict::Illegal(state)) };
    if let Some(rival) = rival.filter(|rival| rival != id) {
        return Ok(Verdict::Occupied(rival));
    }
    let parameters: Parameters<'_> = &[
        &id,
        &change.state.name(),
        &change.due_at,
        &change.ended_at,
        &change.result,
        &change.message,
        &change.forgives_failures,
    ];
    let rows = transaction.query("changing a run", statements::FLOW_RUNS_CHANGE, parameters).await?;
    let mut freed = Freed::default();
    rows.iter().try_for_each(|row| freed.add(row, 0))?;
    // What calls it off stays for one that goes on.
    let ends = change.due_at.is_none();
    transaction.execute("forgetting waits", statements::FLOW_WAITS_FORGET_CHANGED, &[&id, &ends]).await?;
    if ends {
        transaction.execute("noting the end of a run", statements::FLOW_ENDED_NOTE, &[&id]).await?;
    }
    if !change.forgets.is_empty() {
        transaction.execute("forgetting steps", statements::FLOW_RUNS_FORGET, &[&id, &change.forgets]).await?;
    }
    freed.open(transaction, now).await?;
    Ok(Verdict::Done)
}

/// The run that has not ended and has the singleton key of this one; it may be this one. None is started with the key until the transaction
/// ends.
async fn rival(transaction: &mut PostgresTransaction, id: &str) -> Result<Option<String>, StoreError> {
    let rows = transaction.query("reading a singleton key", statements::FLOW_RUNS_SINGLETON, &[&id]).await?;
    let Some(row) = rows.first() else { return Ok(None) };
    let (function, key): (String, String) = (column(row, 0)?, column(row, 1)?);
    let lock = EventName { name: singleton_lock(&function, &key), registers: true };
    publish::attend(transaction, &[lock]).await?;
    let operation = "looking for a run of the same singleton key";
    let rows = transaction.query(operation, statements::FLOW_RUNS_RIVAL, &[&id]).await?;
    rows.first().map(|row| column(row, 0)).transpose()
}

async fn rerun(
    transaction: &mut PostgresTransaction,
    id: &str,
    new_id: &str,
    now: Timestamp,
) -> Result<Verdict, StoreError> {
    let rival = rival(transaction, id).await?;
    let Some((state, _)) = lock(transaction, id).await? else { return Ok(Verdict::NotFound) };
    if !may_be_rerun(state) {
        return Ok(Verdict::Illegal(state));
    }
    if let Some(rival) = rival {
        return Ok(Verdict::Occupied(rival));
    }
    let parameters: Parameters<'_> = &[&id, &new_id, &now];
    let started = transaction.query("repeating a run", statements::FLOW_RUNS_RERUN, parameters).await?;
    Ok(if started.is_empty() { Verdict::NotFound } else { Verdict::Done })
}

async fn cancel_many(
    transaction: &mut PostgresTransaction,
    cancellation: &Cancellation,
    limit_runs: usize,
    now: Timestamp,
) -> Result<u64, StoreError> {
    let Cancellation { id, function, event_id, created_after, created_before, reason, requested_at } = cancellation;
    let (states, most, reason) = (cancellable(), limit(limit_runs), storable(reason));
    let parameters: Parameters<'_> =
        &[function, &states, created_before, created_after, event_id, &most, &reason, &now];
    let rows = transaction.query("calling runs off", statements::FLOW_RUNS_CANCEL, parameters).await?;
    let mut freed = Freed::default();
    rows.iter().try_for_each(|row| freed.add(row, 0))?;
    let cancelled = rows.len() as u64;
    let parameters: Parameters<'_> =
        &[id, function, event_id, created_after, created_before, &reason, requested_at, &whole(cancelled)];
    let operation = "noting a cancellation";
    transaction.execute(operation, statements::FLOW_RUNS_CANCELLATION_NOTE, parameters).await?;
    freed.open(transaction, now).await?;
    Ok(cancelled)
}

async fn redeliver(
    transaction: &mut PostgresTransaction,
    event_id: &str,
    runs: &[Redelivery],
    now: Timestamp,
) -> Result<Option<Vec<bool>>, StoreError> {
    let rows = transaction.query("reading an event", statements::FLOW_RUNS_EVENT, &[&event_id]).await?;
    let Some(event) = rows.first().map(event).transpose()? else { return Ok(None) };
    let publication = Redelivery::publication(runs, event.event, now);
    let names: Vec<EventName> = publication.event_names().collect();
    publish::attend(transaction, &names).await?;
    let mut freed = Freed::default();
    let published = publish::publish(transaction, &[publication], &[], &NothingSent, &mut freed, now).await?;
    freed.open(transaction, now).await?;
    Ok(published.into_iter().next().map(|one| one.started))
}

fn cancellation_summary(row: &Row) -> Result<CancellationSummary, StoreError> {
    let cancellation = Cancellation {
        id: column(row, 0)?,
        function: column(row, 1)?,
        event_id: column(row, 2)?,
        created_after: column(row, 3)?,
        created_before: column(row, 4)?,
        reason: column(row, 5)?,
        requested_at: column(row, 6)?,
    };
    Ok(CancellationSummary { cancellation, runs: count(column(row, 7)?) })
}
