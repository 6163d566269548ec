//! Transactions of the user's own SQL that also record a step.

mod parameter;
mod value;

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};
use tokio_postgres::Statement;
use tokio_postgres::types::ToSql;

use self::parameter::Parameter;
use super::transaction::PostgresTransaction;
use super::{PostgresStore, flow};
use crate::flow::NothingSent;
use crate::sql::{Command, check};
use crate::{RunCommit, SQL_ROWS_MAX, SqlError, SqlRequests, SqlRow, SqlValue, StoreError};

/// How messages call a statement of the user's.
const OPERATION: &str = "a statement of tx_step";

/// How long a statement that only reads may take.
const READ_LIMIT: Duration = Duration::from_secs(10);

impl PostgresStore {
    /// See [`crate::Store::serve_sql`].
    pub async fn serve_sql(&self, mut requests: SqlRequests) {
        let first = match requests.commands.recv().await {
            Some(rolls_back @ Command::RollBack { .. }) => return rolls_back.refuse(SqlError::Over),
            Some(first) => first,
            None => return,
        };
        // Closed never; the permit is for the bound alone.
        let _place = self.shared.sql_places.acquire().await;
        if requests.commands.is_closed() {
            // Whoever asked has gone away meanwhile.
            return;
        }
        let transaction = match PostgresTransaction::begin_plain(&self.shared).await {
            Ok(transaction) => transaction,
            Err(error) => return first.refuse(error.into()),
        };
        let SqlRequests { commands, limit } = requests;
        Open::new(transaction, limit).serve(first, commands).await;
    }

    /// See [`crate::Store::read_sql`].
    ///
    /// # Errors
    /// Whatever the server refuses.
    pub async fn read_sql(&self, sql: &str, parameters: &[SqlValue]) -> Result<Vec<SqlRow>, SqlError> {
        let mut open = Open::new(PostgresTransaction::begin_plain(&self.shared).await?, READ_LIMIT);
        let answer = open.query(sql, parameters).await;
        let answer = open.noted(answer);
        open.roll_back().await;
        answer
    }
}

/// A transaction that is open.
struct Open {
    transaction: PostgresTransaction,
    limit: Duration,
    deadline: Instant,
    /// The first statement that failed: nothing can be committed any more.
    failure: Option<SqlError>,
}

impl Open {
    fn new(transaction: PostgresTransaction, limit: Duration) -> Self {
        Self { transaction, limit, deadline: Instant::now() + limit, failure: None }
    }

    async fn serve(mut self, first: Command, mut commands: mpsc::Receiver<Command>) {
        let mut next = Some(first);
        while let Some(command) = next {
            // Whoever asked may have gone away; the statement has run all the same.
            match command {
                Command::Query { sql, parameters, reply } => {
                    let answer = self.query(&sql, &parameters).await;
                    drop(reply.send(self.noted(answer)));
                }
                Command::Execute { sql, parameters, reply } => {
                    let answer = self.execute(&sql, &parameters).await;
                    drop(reply.send(self.noted(answer)));
                }
                Command::Commit { commit, now, reply } => return drop(reply.send(self.commit(commit, now).await)),
                Command::RollBack { reply } => {
                    self.roll_back().await;
                    let _ = reply.send(());
                    return;
                }
            }
            next = timeout_at(self.deadline, commands.recv()).await.ok().flatten();
        }
        self.roll_back().await;
    }

    async fn query(&mut self, sql: &str, parameters: &[SqlValue]) -> Result<Vec<SqlRow>, SqlError> {
        let statement = self.understand(sql).await?;
        let parameters = parameter::all(statement.params(), parameters)?;
        let session = &self.transaction.session;
        let rows = session.query_understood(OPERATION, &statement, &references(&parameters)).await?;
        if rows.len() > SQL_ROWS_MAX {
            return Err(SqlError::TooManyRows);
        }
        let names: Arc<[String]> = statement.columns().iter().map(|column| column.name().to_owned()).collect();
        rows.iter().map(|row| Ok(SqlRow::new(Arc::clone(&names), value::all(row)?))).collect()
    }

    async fn execute(&mut self, sql: &str, parameters: &[SqlValue]) -> Result<u64, SqlError> {
        let statement = self.understand(sql).await?;
        let parameters = parameter::all(statement.params(), parameters)?;
        let session = &self.transaction.session;
        Ok(session.execute_understood(OPERATION, &statement, &references(&parameters)).await?)
    }

    async fn understand(&mut self, sql: &str) -> Result<Statement, SqlError> {
        if let Some(failure) = &self.failure {
            return Err(SqlError::Doomed(failure.to_string()));
        }
        check(sql, true)?;
        self.transaction.session.renew_until(self.deadline);
        Ok(self.transaction.session.understand(OPERATION, sql).await?)
    }

    /// Remembers a failure, and names the time limit where that is its reason.
    fn noted<T>(&mut self, answer: Result<T, SqlError>) -> Result<T, SqlError> {
        let is_overdue = Instant::now() >= self.deadline;
        answer.map_err(|error| {
            let error = if is_overdue { SqlError::Overdue(self.limit) } else { error };
            self.transaction.failed = true;
            self.failure.get_or_insert_with(|| error.clone());
            error
        })
    }

    async fn commit(mut self, commit: RunCommit, now: Timestamp) -> Result<bool, SqlError> {
        if let Some(failure) = &self.failure {
            let doomed = SqlError::Doomed(failure.to_string());
            self.roll_back().await;
            return Err(doomed);
        }
        match flow::commit(&mut self.transaction, &[commit], &NothingSent, now).await {
            Ok(written) if written == [true] => self.transaction.commit().await.map(|()| true).map_err(Into::into),
            Ok(_) => {
                self.roll_back().await;
                Ok(false)
            }
            Err(error) => {
                self.roll_back().await;
                Err(error.into())
            }
        }
    }

    async fn roll_back(self) {
        // A plan that went stale would go on failing on this connection, so the connection is closed with it.
        if !matches!(self.failure, Some(SqlError::Database(StoreError::Conflict(_)))) {
            self.transaction.roll_back().await;
        }
    }
}

fn references<'a>(parameters: &'a [Parameter<'_>]) -> Vec<&'a (dyn ToSql + Sync)> {
    parameters.iter().map(|parameter| parameter as &(dyn ToSql + Sync)).collect()
}
