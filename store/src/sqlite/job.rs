//! What the writer thread is asked to do, with the place of its answer.

use tokio::sync::oneshot;

use super::transaction::SqliteTransaction;
use crate::StoreError;

/// Why something is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// New deliveries.
    Inbox,
    /// Rows of the mirror.
    Apply,
    /// What may run on a full disk: it is small, or makes room.
    Upkeep,
}

/// One job of a transaction.
pub(super) trait Job: Send {
    /// Why it writes.
    fn kind(&self) -> Kind;
    /// Bytes of the bodies it carries.
    fn bytes(&self) -> usize;
    /// Whether somebody still waits for its answer.
    fn is_awaited(&self) -> bool;
    /// Does it, and keeps its output. Called once.
    fn run(&mut self, transaction: &mut SqliteTransaction<'_>) -> Result<(), StoreError>;
    /// Answers with the output, or with an error of the job or of the whole transaction.
    fn answer(self: Box<Self>, outcome: Result<(), StoreError>);
}

/// A closure as a job.
pub(super) struct Task<F, R> {
    kind: Kind,
    bytes: usize,
    operation: Option<F>,
    output: Option<R>,
    reply: oneshot::Sender<Result<R, StoreError>>,
}

impl<F, R> Task<F, R> {
    pub(super) fn new(kind: Kind, bytes: usize, operation: F, reply: oneshot::Sender<Result<R, StoreError>>) -> Self {
        Self { kind, bytes, operation: Some(operation), output: None, reply }
    }
}

impl<F, R> Job for Task<F, R>
where
    R: Send,
    F: FnOnce(&mut SqliteTransaction<'_>) -> Result<R, StoreError> + Send,
{
    fn kind(&self) -> Kind {
        self.kind
    }

    fn bytes(&self) -> usize {
        self.bytes
    }

    fn is_awaited(&self) -> bool {
        !self.reply.is_closed()
    }

    fn run(&mut self, transaction: &mut SqliteTransaction<'_>) -> Result<(), StoreError> {
        let operation = self.operation.take().ok_or_else(ran_twice)?;
        self.output = Some(operation(transaction)?);
        Ok(())
    }

    fn answer(self: Box<Self>, outcome: Result<(), StoreError>) {
        let Self { output, reply, .. } = *self;
        let result = outcome.and_then(|()| output.ok_or_else(ran_twice));
        // The caller may have gone away; what was committed stays.
        reply.send(result).ok();
    }
}

fn ran_twice() -> StoreError {
    StoreError::Refused { operation: "a transaction", message: "a job must run exactly once".to_owned() }
}
