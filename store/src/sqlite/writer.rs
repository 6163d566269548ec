//! The one thread that writes.
//!
//! It owns the writing connection and takes jobs from a bounded queue. Whatever is queued becomes one transaction with one
//! commit; each job has its own savepoint, so that a job that fails is undone alone. Nobody is answered before the commit.
//! In a simulation a task takes the thread's place.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use billhook_core::failpoint;
use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot};

use super::Place;
use super::ballast::Ballast;
use super::errors::refused;
use super::job::{Job, Kind, Task};
use super::readers::closed;
use super::sql::Session;
use super::statements::Statements;
use super::transaction::SqliteTransaction;
use crate::{Role, StoreError};

/// Jobs that wait for the thread before callers wait for a place.
const QUEUE_JOBS_MAX: usize = 256;
/// Jobs in one transaction.
const TRANSACTION_JOBS_MAX: usize = 64;
/// Bodies in one transaction, in bytes. The job that passes it is the last one.
const TRANSACTION_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Jobs in the order in which they came.
type Jobs = Vec<Box<dyn Job>>;

/// Something that needs the connection without a transaction around it.
type Exclusive = Box<dyn FnOnce(&mut Connection) + Send>;

enum Message {
    Job(Box<dyn Job>),
    Exclusive(Exclusive),
    /// A transaction of its own, so that nothing else is undone or delayed with it.
    Session(Box<Session>),
    Close,
}

/// The handle on the writer thread.
pub(super) struct Writer {
    queue: mpsc::Sender<Message>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Starts the thread, or the task. It holds `lock` until it ends.
    pub(super) fn start(
        path: &Path,
        role: Role,
        connection: Connection,
        lock: Option<File>,
        statements: Arc<Statements>,
        place: Place,
    ) -> Result<Self, StoreError> {
        let (queue, jobs) = mpsc::channel(QUEUE_JOBS_MAX);
        let ballast = Ballast::new(path, role == Role::Server);
        let state = WriterThread { connection, statements, ballast };
        if place == Place::Here {
            tokio::spawn(async move {
                state.run_here(jobs).await;
                drop(lock);
            });
            return Ok(Self { queue, thread: Mutex::default() });
        }
        let thread = std::thread::Builder::new()
            .name("sqlite-writer".to_owned())
            .spawn(move || {
                state.run(jobs);
                drop(lock);
            })
            .map_err(|error| StoreError::Unavailable(format!("the writer thread did not start: {error}")))?;
        Ok(Self { queue, thread: Mutex::new(Some(thread)) })
    }

    /// Runs `operation` in a transaction and returns its result when that is committed. When the caller goes away before the
    /// operation has started, it does not start.
    pub(super) async fn run<R, F>(&self, kind: Kind, bytes: usize, operation: F) -> Result<R, StoreError>
    where
        R: Send + 'static,
        F: FnOnce(&mut SqliteTransaction<'_>) -> Result<R, StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Task::new(kind, bytes, operation, reply));
        self.queue.send(Message::Job(job)).await.map_err(|_closed| closed())?;
        answer.await.map_err(|_dropped| closed())?
    }

    /// Runs `operation` between two transactions.
    pub(super) async fn run_exclusively<R, F>(&self, operation: F) -> Result<R, StoreError>
    where
        R: Send + 'static,
        F: FnOnce(&mut Connection) -> Result<R, StoreError> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let exclusive: Exclusive = Box::new(move |connection| {
            // The caller may have gone away; the work is done all the same.
            reply.send(operation(connection)).ok();
        });
        self.queue.send(Message::Exclusive(exclusive)).await.map_err(|_closed| closed())?;
        answer.await.map_err(|_dropped| closed())?
    }

    /// Serves a session in a transaction of its own. The thread does nothing else meanwhile.
    pub(super) async fn serve(&self, session: Session) {
        if let Err(mpsc::error::SendError(Message::Session(refused))) =
            self.queue.send(Message::Session(Box::new(session))).await
        {
            refused.refuse(closed());
        }
    }

    /// Finishes what is queued, moves the log into the database and ends the thread.
    pub(super) async fn close(&self) {
        // An error means that the thread has ended already.
        self.queue.send(Message::Close).await.ok();
        let thread = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            let joined = tokio::task::spawn_blocking(move || thread.join()).await;
            if !matches!(joined, Ok(Ok(()))) {
                tracing::error!("the writer thread of the database ended with a panic");
            }
        }
    }
}

struct WriterThread {
    connection: Connection,
    statements: Arc<Statements>,
    ballast: Ballast,
}

impl WriterThread {
    fn run(mut self, mut queue: mpsc::Receiver<Message>) {
        let mut next = queue.blocking_recv();
        while let Some(message) = next.take() {
            next = self.take(message, &mut queue);
            if next.is_none() {
                next = queue.blocking_recv();
            }
        }
        let moved = self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_row| Ok(()));
        if let Err(error) = moved {
            tracing::warn!(%error, "the write-ahead log stays for the next start");
        }
    }

    /// The same as a task. A session waits for its function without keeping it from the thread.
    async fn run_here(mut self, mut queue: mpsc::Receiver<Message>) {
        let mut next = queue.recv().await;
        while let Some(message) = next.take() {
            next = match message {
                Message::Session(session) => {
                    if let Err(error) = session.serve_here(&mut self.connection).await {
                        self.undo(&error);
                    }
                    None
                }
                other => self.take(other, &mut queue),
            };
            if next.is_none() {
                next = queue.recv().await;
            }
        }
    }

    /// Does what a message asks for; returns what was taken from the queue with it.
    fn take(&mut self, message: Message, queue: &mut mpsc::Receiver<Message>) -> Option<Message> {
        match message {
            Message::Job(job) => {
                let (jobs, other) = gather(job, queue);
                self.commit(jobs);
                return other;
            }
            Message::Exclusive(operation) => operation(&mut self.connection),
            Message::Session(session) => self.serve(*session),
            // What is queued behind this message is still done; nothing new comes in.
            Message::Close => queue.close(),
        }
        None
    }

    /// Runs jobs in one transaction and answers them.
    fn commit(&mut self, jobs: Jobs) {
        let (mut jobs, refused_jobs) = self.admit(jobs);
        for job in refused_jobs {
            job.answer(Err(StoreError::Full("new data is refused until there is room".to_owned())));
        }
        if jobs.is_empty() {
            return;
        }
        match self.attempt(&mut jobs) {
            Ok(outcomes) => {
                for (job, outcome) in jobs.into_iter().zip(outcomes) {
                    job.answer(outcome);
                }
            }
            Err(error) => {
                self.undo(&error);
                for job in jobs {
                    job.answer(Err(error.clone()));
                }
            }
        }
    }

    fn serve(&mut self, session: Session) {
        if !self.ballast.allows_growth(&self.connection) {
            return session.refuse(StoreError::Full("new data is refused until there is room".to_owned()));
        }
        if let Err(error) = session.serve(&mut self.connection) {
            self.undo(&error);
        }
    }

    /// Separates jobs that may run from those that would fill a full disk, and drops those nobody waits for.
    fn admit(&mut self, jobs: Jobs) -> (Jobs, Jobs) {
        let allows_growth = self.ballast.allows_growth(&self.connection);
        jobs.into_iter().filter(|job| job.is_awaited()).partition(|job| allows_growth || job.kind() == Kind::Upkeep)
    }

    /// One transaction; an outcome for each job when it was committed.
    fn attempt(&mut self, jobs: &mut [Box<dyn Job>]) -> Result<Vec<Result<(), StoreError>>, StoreError> {
        self.execute("BEGIN IMMEDIATE")?;
        // A transaction of one job needs no savepoint: it is undone as a whole.
        let alone = jobs.len() == 1;
        let mut outcomes = Vec::with_capacity(jobs.len());
        for job in jobs.iter_mut() {
            if !alone {
                self.execute("SAVEPOINT job")?;
            }
            let outcome = self.run_job(job.as_mut());
            match &outcome {
                // A full disk ends the transaction for everybody, and so does any error on which SQLite itself rolled back.
                Err(error) if alone || matches!(error, StoreError::Full(_)) || self.connection.is_autocommit() => {
                    return Err(error.clone());
                }
                Err(_) => self.execute("ROLLBACK TO job")?,
                Ok(()) => {}
            }
            if !alone {
                self.execute("RELEASE job")?;
            }
            outcomes.push(outcome);
        }
        let has = |kind| jobs.iter().any(|job| job.kind() == kind);
        let (inbox, apply) = (has(Kind::Inbox), has(Kind::Apply));
        pass(inbox, "before_inbox_commit");
        pass(apply, "before_apply_commit");
        self.execute("COMMIT")?;
        pass(inbox, "after_inbox_commit");
        pass(apply, "after_apply_commit");
        Ok(outcomes)
    }

    /// A job that panics is a defect of that job; the thread and the other jobs go on.
    fn run_job(&mut self, job: &mut dyn Job) -> Result<(), StoreError> {
        let mut transaction = SqliteTransaction::new(&mut self.connection, &self.statements);
        catch_unwind(AssertUnwindSafe(|| job.run(&mut transaction))).unwrap_or_else(|_panic| {
            Err(StoreError::Refused { operation: "a transaction", message: "the work panicked".to_owned() })
        })
    }

    fn undo(&mut self, error: &StoreError) {
        if !self.connection.is_autocommit()
            && let Err(error) = self.connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "a failed transaction could not be rolled back");
        }
        if matches!(error, StoreError::Full(_)) {
            self.ballast.spend();
        }
    }

    fn execute(&self, sql: &'static str) -> Result<(), StoreError> {
        let run = || self.connection.prepare_cached(sql)?.execute([]);
        run().map(|_changes| ()).map_err(refused("a transaction"))
    }
}

/// Takes what is queued for one transaction: jobs, and the first message that is none.
fn gather(first: Box<dyn Job>, queue: &mut mpsc::Receiver<Message>) -> (Jobs, Option<Message>) {
    let mut bytes = first.bytes();
    let mut jobs = vec![first];
    while jobs.len() < TRANSACTION_JOBS_MAX && bytes < TRANSACTION_BYTES_MAX {
        match queue.try_recv() {
            Ok(Message::Job(job)) => {
                bytes = bytes.saturating_add(job.bytes());
                jobs.push(job);
            }
            Ok(other) => return (jobs, Some(other)),
            Err(_empty) => break,
        }
    }
    (jobs, None)
}

fn pass(applies: bool, name: &'static str) {
    if applies {
        failpoint::hit(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sqlite::{connection, settings};

    /// A writer on a database that may not grow beyond a few pages: SQLite's own way to a full disk.
    fn small() -> (tempfile::TempDir, WriterThread) {
        let folder = tempfile::tempdir().expect("a folder");
        let path = connection::prepare_file(&folder.path().join("a.db")).expect("a file");
        let connection = connection::open_writer(&path).expect("a database");
        connection
            .execute_batch(
                "CREATE TABLE billhook_settings (key TEXT NOT NULL PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID; \
                 CREATE TABLE filler (bytes BLOB); PRAGMA max_page_count = 40",
            )
            .expect("tables");
        let ballast = Ballast::new(&path, true);
        (folder, WriterThread { connection, statements: Arc::new(Statements::new(&[])), ballast })
    }

    type Answer = oneshot::Receiver<Result<(), StoreError>>;

    fn job(kind: Kind, sql: &'static str) -> (Box<dyn Job>, Answer) {
        let (reply, answer) = oneshot::channel();
        let run = move |transaction: &mut SqliteTransaction<'_>| {
            transaction.connection().execute_batch(sql).map_err(refused("a test"))
        };
        (Box::new(Task::new(kind, 0, run, reply)), answer)
    }

    fn answers<const COUNT: usize>(
        writer: &mut WriterThread,
        jobs: [(Kind, &'static str); COUNT],
    ) -> [Result<(), StoreError>; COUNT] {
        let mut waiting = Vec::new();
        let mut queued = Vec::new();
        for (kind, sql) in jobs {
            let (job, answer) = job(kind, sql);
            queued.push(job);
            waiting.push(answer);
        }
        writer.commit(queued);
        let answers: Vec<_> = waiting.into_iter().map(|mut answer| answer.try_recv().expect("answered")).collect();
        answers.try_into().expect("one answer a job")
    }

    const FILL: &str = "INSERT INTO filler VALUES (zeroblob(1000000))";
    const SET: &str = "INSERT INTO billhook_settings VALUES ('a', 'b')";

    #[test]
    fn on_a_full_disk_nobody_is_told_that_it_was_written() {
        let (folder, mut writer) = small();
        let [first, second] = answers(&mut writer, [(Kind::Upkeep, SET), (Kind::Inbox, FILL)]);
        assert!(matches!(first, Err(StoreError::Full(_))), "{first:?}");
        assert!(matches!(second, Err(StoreError::Full(_))), "{second:?}");
        assert_eq!(settings::read(&writer.connection, "a").expect("readable"), None);
        assert!(!folder.path().join("a.db.ballast").exists());

        // The real disk has room, so the reserve comes back and small things can be written.
        let [again] = answers(&mut writer, [(Kind::Inbox, SET)]);
        again.expect("written");
        assert!(folder.path().join("a.db.ballast").exists());
    }

    #[test]
    fn a_failing_job_is_undone_alone() {
        let (_folder, mut writer) = small();
        let broken = "INSERT INTO filler VALUES (zeroblob(10)); SELECT * FROM missing";
        let [broken, whole] = answers(&mut writer, [(Kind::Apply, broken), (Kind::Upkeep, SET)]);
        assert!(matches!(broken, Err(StoreError::Refused { .. })), "{broken:?}");
        whole.expect("written");
        let count: i64 =
            writer.connection.query_row("SELECT count(*) FROM filler", [], |row| row.get(0)).expect("counted");
        assert_eq!(count, 0);
        assert_eq!(settings::read(&writer.connection, "a").expect("readable").as_deref(), Some("b"));
    }

    #[test]
    fn when_the_commit_fails_all_are_told() {
        let (_folder, mut writer) = small();
        // A deferred constraint is found out by COMMIT.
        let setup = "PRAGMA foreign_keys = on; CREATE TABLE parent (id INTEGER PRIMARY KEY); \
                     CREATE TABLE child (parent INTEGER REFERENCES parent (id) DEFERRABLE INITIALLY DEFERRED)";
        writer.connection.execute_batch(setup).expect("tables");
        let orphan = "INSERT INTO child VALUES (7)";
        let [set, orphan] = answers(&mut writer, [(Kind::Upkeep, SET), (Kind::Apply, orphan)]);
        assert!(set.is_err() && orphan.is_err(), "{set:?} {orphan:?}");
        assert_eq!(settings::read(&writer.connection, "a").expect("readable"), None);
        let [after] = answers(&mut writer, [(Kind::Upkeep, SET)]);
        after.expect("the writer goes on");
    }

    #[test]
    fn a_job_nobody_waits_for_is_not_run() {
        let (_folder, mut writer) = small();
        let (abandoned, answer) = job(Kind::Upkeep, SET);
        drop(answer);
        writer.commit(vec![abandoned]);
        assert_eq!(settings::read(&writer.connection, "a").expect("readable"), None);
    }
}
