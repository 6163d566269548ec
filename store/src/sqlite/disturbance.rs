//! What a simulation does to operations on their way to the database and back.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::mpsc;

use super::SqliteStore;
use crate::sql::Command;
use crate::{SqlError, SqlSession, StoreError};

/// How a disturbance calls what a function asks of its transaction.
const STATEMENT: &str = "a statement of a transaction";

/// Stands between operations and their database. What it answers may be late, which delays the operation, and an error, which takes its
/// place.
pub trait Disturbance: Send + Sync {
    /// Before an operation reaches the database. After an error it never does.
    fn before<'a>(&'a self, operation: &'static str) -> Disturbed<'a>;

    /// After an operation is done, and before whoever asked for it knows. After an error they never do.
    fn after<'a>(&'a self, operation: &'static str) -> Disturbed<'a>;
}

/// What a [`Disturbance`] answers.
pub type Disturbed<'a> = Pin<Box<dyn Future<Output = Result<(), StoreError>> + Send + 'a>>;

impl SqliteStore {
    /// The same database behind a disturbance.
    #[must_use]
    pub fn disturbed(&self, by: Arc<dyn Disturbance>) -> Self {
        Self { shared: Arc::clone(&self.shared), disturbance: Some(by) }
    }

    /// An operation behind the disturbance, if there is one.
    pub(super) async fn through<R>(
        &self,
        operation: &'static str,
        work: impl Future<Output = Result<R, StoreError>>,
    ) -> Result<R, StoreError> {
        let Some(by) = &self.disturbance else { return work.await };
        by.before(operation).await?;
        let output = work.await;
        by.after(operation).await?;
        output
    }
}

/// Passes on what a function asks of its transaction. After an error the transaction has lost its function, which rolls it back.
pub(super) async fn relay(by: &dyn Disturbance, mut commands: mpsc::Receiver<Command>, session: SqlSession) {
    while let Some(command) = commands.recv().await {
        if let Err(error) = by.before(STATEMENT).await {
            return command.refuse(error.into());
        }
        let after = async || by.after(STATEMENT).await.map_err(SqlError::from);
        // Whoever asked may have gone away meanwhile.
        match command {
            Command::Query { sql, parameters, reply } => {
                let answer = session.query(&sql, &parameters).await;
                drop(reply.send(after().await.and(answer)));
            }
            Command::Execute { sql, parameters, reply } => {
                let answer = session.execute(&sql, &parameters).await;
                drop(reply.send(after().await.and(answer)));
            }
            Command::Commit { commit, now, reply } => {
                let answer = session.commit(commit, now).await;
                drop(reply.send(after().await.and(answer)));
            }
            Command::RollBack { reply } => {
                session.roll_back().await;
                let _ = reply.send(());
            }
        }
    }
}
