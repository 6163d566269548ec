//! Transactions of the user's own SQL that also record a step. They run on the writer thread, each alone.

mod statement;

use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::Thread;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use rusqlite::Connection;
use tokio::sync::mpsc;

use super::disturbance::relay;
use super::errors::refused;
use super::{SqliteStore, flow};
use crate::flow::NothingSent;
use crate::sql::{Command, check, sql_session};
use crate::{RunCommit, SqlError, SqlRequests, SqlRow, SqlValue, StoreError};

/// How messages call a statement of the user's.
const OPERATION: &str = "a statement of tx_step";

/// Steps of SQLite's machine between two looks at the clock: some microseconds.
const STEPS_PER_LOOK: i32 = 10_000;

impl SqliteStore {
    /// See [`crate::Store::serve_sql`].
    pub async fn serve_sql(&self, requests: SqlRequests) {
        let Some(by) = &self.disturbance else { return self.serve(requests).await };
        let (session, passed_on) = sql_session(requests.limit);
        tokio::join!(self.serve(passed_on), relay(&**by, requests.commands, session));
    }

    async fn serve(&self, mut requests: SqlRequests) {
        // The writer is only asked when there is something to do.
        match requests.commands.recv().await {
            Some(rolls_back @ Command::RollBack { .. }) => rolls_back.refuse(SqlError::Over),
            Some(first) => self.shared.writer.serve(Session { first, requests }).await,
            None => {}
        }
    }

    /// See [`crate::Store::read_sql`].
    ///
    /// # Errors
    /// Whatever the database refuses.
    pub async fn read_sql(&self, sql: &str, parameters: &[SqlValue]) -> Result<Vec<SqlRow>, SqlError> {
        check(sql, false)?;
        let (sql, parameters) = (sql.to_owned(), parameters.to_vec());
        // The connection cannot write.
        self.shared.readers.read(move |connection| Ok(statement::query(connection, &sql, &parameters))).await?
    }
}

/// A transaction that has not begun.
pub(super) struct Session {
    first: Command,
    requests: SqlRequests,
}

impl Session {
    /// Answers that nothing of it is done.
    pub(super) fn refuse(self, error: StoreError) {
        self.first.refuse(error.into());
    }

    /// Serves it to its end. What it asks for fails with answers of its own; an error here is one of the transaction itself, which is
    /// still open then.
    pub(super) fn serve(self, connection: &mut Connection) -> Result<(), StoreError> {
        let Some((mut open, first, mut commands)) = self.begin(connection)? else { return Ok(()) };
        let mut next = Some(first);
        while let Some(command) = next {
            if open.answer(command) {
                break;
            }
            next = receive(&mut commands, open.deadline);
        }
        open.end()
    }

    /// The same in a task, by the runtime's time.
    pub(super) async fn serve_here(self, connection: &mut Connection) -> Result<(), StoreError> {
        let until = tokio::time::Instant::now() + self.requests.limit;
        let Some((mut open, first, mut commands)) = self.begin(connection)? else { return Ok(()) };
        let mut next = Some(first);
        while let Some(command) = next {
            if open.answer(command) {
                break;
            }
            next = tokio::time::timeout_at(until, commands.recv()).await.ok().flatten();
        }
        open.end()
    }

    /// Opens the transaction, unless whoever asked has gone away while this stood in the queue.
    fn begin(self, connection: &mut Connection) -> Result<Option<Begun<'_>>, StoreError> {
        let Self { first, requests: SqlRequests { commands, limit } } = self;
        if commands.is_closed() {
            return Ok(None);
        }
        if let Err(error) = begin(connection, limit) {
            first.refuse(error.clone().into());
            return Err(error);
        }
        let deadline = Instant::now() + limit;
        Ok(Some((Open { connection, limit, deadline, failure: None, ended: None }, first, commands)))
    }
}

fn begin(connection: &mut Connection, limit: Duration) -> Result<(), StoreError> {
    connection.execute_batch("BEGIN IMMEDIATE").map_err(refused("beginning a transaction"))?;
    set_limit(connection, Some(Instant::now() + limit))
}

/// Interrupts statements that run beyond a time.
fn set_limit(connection: &mut Connection, until: Option<Instant>) -> Result<(), StoreError> {
    let is_over = until.map(|until| move || Instant::now() >= until);
    connection.progress_handler(STEPS_PER_LOOK, is_over).map_err(refused("limiting a transaction"))
}

/// A transaction that is open, with what was asked first and whatever is asked then.
type Begun<'writer> = (Open<'writer>, Command, mpsc::Receiver<Command>);

/// A transaction that is open.
struct Open<'writer> {
    connection: &'writer mut Connection,
    limit: Duration,
    deadline: Instant,
    /// The first statement that failed: nothing is committed any more, as on PostgreSQL.
    failure: Option<SqlError>,
    /// How the commit or rollback that was asked for went.
    ended: Option<Result<(), StoreError>>,
}

impl Open<'_> {
    /// Does what is asked; true when the transaction is over. Whoever asked may have gone away; it is done all the same.
    fn answer(&mut self, command: Command) -> bool {
        match command {
            Command::Query { sql, parameters, reply } => {
                let answer = self.statement(&sql, || statement::query(self.connection, &sql, &parameters));
                drop(reply.send(self.noted(answer)));
                false
            }
            Command::Execute { sql, parameters, reply } => {
                let answer = self.statement(&sql, || statement::execute(self.connection, &sql, &parameters));
                drop(reply.send(self.noted(answer)));
                false
            }
            Command::Commit { commit, now, reply } => {
                let answer = self.commit(&commit, now);
                drop(reply.send(answer));
                true
            }
            Command::RollBack { reply } => {
                self.ended = Some(roll_back(self.connection));
                let _ = reply.send(());
                true
            }
        }
    }

    fn statement<T>(&self, sql: &str, run: impl FnOnce() -> Result<T, SqlError>) -> Result<T, SqlError> {
        if let Some(failure) = &self.failure {
            return Err(SqlError::Doomed(failure.to_string()));
        }
        check(sql, false)?;
        let output = run()?;
        if self.connection.is_autocommit() {
            // What began a statement with another word, and ended the transaction all the same.
            return Err(SqlError::Forbidden { keyword: "the end of a transaction".to_owned() });
        }
        Ok(output)
    }

    /// Remembers a failure, and names the time limit where that is its reason.
    fn noted<T>(&mut self, answer: Result<T, SqlError>) -> Result<T, SqlError> {
        let is_overdue = Instant::now() >= self.deadline;
        answer.map_err(|error| {
            let error = if is_overdue { SqlError::Overdue(self.limit) } else { error };
            self.failure.get_or_insert_with(|| error.clone());
            error
        })
    }

    fn commit(&mut self, commit: &RunCommit, now: Timestamp) -> Result<bool, SqlError> {
        if let Some(failure) = &self.failure {
            return Err(SqlError::Doomed(failure.to_string()));
        }
        // From here on it is over soon, and whether it is written must not depend on the clock.
        set_limit(self.connection, None)?;
        if !flow::commit(self.connection, commit, &NothingSent, now).map_err(refused("recording what runs did"))? {
            return Ok(false);
        }
        let committed = self.connection.execute_batch("COMMIT").map_err(refused("the commit"));
        self.ended = Some(committed.clone());
        committed.map(|()| true).map_err(Into::into)
    }

    /// Rolls back what was not committed. An error of the whole database is for the writer.
    fn end(self) -> Result<(), StoreError> {
        set_limit(self.connection, None)?;
        if let Some(Err(error)) = self.ended {
            return Err(error);
        }
        match self.failure {
            Some(SqlError::Database(error @ StoreError::Full(_))) => Err(error),
            _ => roll_back(self.connection),
        }
    }
}

fn roll_back(connection: &Connection) -> Result<(), StoreError> {
    if connection.is_autocommit() {
        return Ok(());
    }
    connection.execute_batch("ROLLBACK").map_err(refused("the rollback"))
}

/// Waits for a command on this thread; `None` when nobody asks any more, or when the time is over.
fn receive(commands: &mut mpsc::Receiver<Command>, deadline: Instant) -> Option<Command> {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut context = Context::from_waker(&waker);
    loop {
        if let Poll::Ready(command) = commands.poll_recv(&mut context) {
            return command;
        }
        let rest = deadline.saturating_duration_since(Instant::now());
        if rest.is_zero() {
            return None;
        }
        std::thread::park_timeout(rest);
    }
}

/// Wakes the thread that waits.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}
