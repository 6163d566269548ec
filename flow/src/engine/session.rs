//! Transactions that functions and the engine share: the user's SQL and the record of a step.

use std::sync::Arc;
use std::time::Duration;

use billhook_core::{Clock, failpoint};
use billhook_store::{RunCommit, SqlError, SqlRow, SqlSession, SqlValue, StepRecord, Store, StoreError, sql_session};
use tokio::runtime::Handle;

use super::held::Held;
use super::route::Matcher;
use super::worker;
use crate::exchange::{CommitError, Lost, Pending, Record, TransactionSession};

/// First and longest pause while the outcome of a commit is asked for, in milliseconds.
const ASK_MS: (u64, u64) = (20, 2_000);

/// What opens transactions. Cheap to clone.
#[derive(Clone)]
pub(super) struct Sessions {
    store: Store,
    clock: Arc<dyn Clock>,
    /// Where the database is talked to. A function may block its own thread, and that must not keep a transaction open.
    runtime: Handle,
}

impl Sessions {
    /// Within the runtime that talks to the database.
    pub(super) fn new(store: Store, clock: Arc<dyn Clock>) -> Self {
        Self { store, clock, runtime: Handle::current() }
    }

    /// A transaction of a run, under its token.
    pub(super) fn begin(
        &self,
        run: &str,
        token: i64,
        kept: Vec<StepRecord>,
        held: &Arc<Held>,
        limit: Duration,
    ) -> Arc<dyn TransactionSession> {
        let (session, requests) = sql_session(limit);
        let store = self.store.clone();
        self.runtime.spawn(async move { store.serve_sql(requests).await });
        Arc::new(RunSession {
            session,
            sessions: self.clone(),
            held: Arc::clone(held),
            run: run.to_owned(),
            token,
            kept,
        })
    }
}

struct RunSession {
    session: SqlSession,
    sessions: Sessions,
    held: Arc<Held>,
    run: String,
    token: i64,
    /// What has to be recorded with whatever the run records first.
    kept: Vec<StepRecord>,
}

impl RunSession {
    async fn write(&self, record: Record) -> Result<(), CommitError> {
        if !self.held.is_held(&self.run, self.token) {
            self.session.roll_back().await;
            return Err(Lost.into());
        }
        let record = worker::record(&record.key, &record.memo);
        let fence = RunCommit::new(self.run.clone(), self.token);
        let records = self.kept.iter().cloned().chain([record.clone()]).collect();
        // What got this far has not died here.
        let commit = RunCommit { records, got_on: true, ..fence.clone() };
        let Sessions { store, clock, runtime } = self.sessions.clone();
        failpoint::hit("before_tx_commit");
        let committed = self.session.commit(commit, clock.now()).await;
        failpoint::hit("after_tx_commit");
        match committed {
            Ok(true) => Ok(()),
            Ok(false) => Err(Lost.into()),
            // No answer at all says as little as a lost connection.
            Err(error @ (SqlError::Overdue(_) | SqlError::Database(StoreError::Unavailable(_)))) => {
                let doubt = Doubt { store, clock, held: Arc::clone(&self.held), fence, record };
                match runtime.spawn(doubt.settle()).await {
                    Ok(Ok(true)) => Ok(()),
                    Ok(Ok(false)) => Err(error.into()),
                    Ok(Err(Lost)) | Err(_) => Err(Lost.into()),
                }
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// A commit whose answer was lost. Whether it was written has to be known before anything else happens, or it might happen twice.
struct Doubt {
    store: Store,
    clock: Arc<dyn Clock>,
    held: Arc<Held>,
    /// A commit that says nothing: it waits for the transaction in doubt, which has locked the run.
    fence: RunCommit,
    record: StepRecord,
}

impl Doubt {
    /// Whether the record is there. Asks until the database tells, or until the run is somebody else's.
    async fn settle(self) -> Result<bool, Lost> {
        let mut pause_ms = ASK_MS.0;
        loop {
            match self.ask().await {
                Ok(answer) => return answer,
                Err(error) => {
                    tracing::warn!(%error, run = self.fence.run, "whether a step is committed is not known; asking again")
                }
            }
            if !self.held.is_held(&self.fence.run, self.fence.token) {
                return Err(Lost);
            }
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            pause_ms = (pause_ms * 2).min(ASK_MS.1);
        }
    }

    async fn ask(&self) -> Result<Result<bool, Lost>, StoreError> {
        if self.store.commit_flow_runs(vec![self.fence.clone()], Arc::new(Matcher), self.clock.now()).await? != [true] {
            return Ok(Err(Lost));
        }
        let steps = self.store.flow_steps(&self.fence.run).await?;
        Ok(Ok(steps.iter().any(|(key, memo)| *key == self.record.key && *memo == self.record.memo)))
    }
}

impl TransactionSession for RunSession {
    fn query<'a>(&'a self, sql: &'a str, parameters: &'a [SqlValue]) -> Pending<'a, Result<Vec<SqlRow>, SqlError>> {
        Box::pin(self.session.query(sql, parameters))
    }

    fn execute<'a>(&'a self, sql: &'a str, parameters: &'a [SqlValue]) -> Pending<'a, Result<u64, SqlError>> {
        Box::pin(self.session.execute(sql, parameters))
    }

    fn commit(&self, record: Record) -> Pending<'_, Result<(), CommitError>> {
        Box::pin(self.write(record))
    }

    fn roll_back(&self) -> Pending<'_, ()> {
        Box::pin(self.session.roll_back())
    }

    fn ended(&self) -> Pending<'_, ()> {
        Box::pin(self.session.ended())
    }

    fn failure(&self) -> Option<SqlError> {
        self.session.failure()
    }
}
