//! Executes claimed runs on threads of their own: the futures of functions stay on the thread on which they were made.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use billhook_core::Clock;
use billhook_core::run::{RunInput, RunState};
use billhook_core::step::StepKey;
use billhook_store::{ClaimedRun, RunCommit, RunNext, StepRecord};
use jiff::Timestamp;
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use super::EngineOptions;
use super::chance;
use super::committer::Committer;
use super::held::Held;
use super::session::Sessions;
use crate::error::Error;
use crate::event::Event;
use crate::exchange::{Journal, Lost, Memo, Outcome, Record, Request, TransactionSession};
use crate::registry::Functions;

/// How the threads are called, before their number.
const THREAD: &str = "functions-";

/// Whether this thread executes functions. What panics here fails a run and leaves the process whole.
pub fn is_function_thread() -> bool {
    std::thread::current().name().is_some_and(|name| name.starts_with(THREAD))
}

/// The threads.
pub(super) struct Workers {
    threads: Vec<mpsc::UnboundedSender<ClaimedRun>>,
    next: AtomicUsize,
}

/// What every execution needs.
struct Bench<App> {
    functions: Arc<Functions<App>>,
    app: Arc<App>,
    committer: Committer,
    sessions: Sessions,
    held: Arc<Held>,
    clock: Arc<dyn Clock>,
}

impl Workers {
    pub(super) fn start<App: Send + Sync + 'static>(
        options: &EngineOptions,
        functions: Arc<Functions<App>>,
        app: Arc<App>,
        committer: Committer,
        sessions: Sessions,
        held: Arc<Held>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let bench = Arc::new(Bench { functions, app, committer, sessions, held, clock });
        let threads = (0..options.threads.max(1)).filter_map(|number| thread(number, Arc::clone(&bench))).collect();
        Self { threads, next: AtomicUsize::new(0) }
    }

    /// Executes a run. The number of runs is bounded by whoever claims them.
    pub(super) fn give(&self, run: ClaimedRun) {
        let next = self.next.fetch_add(1, Ordering::Relaxed);
        if let Some(thread) = self.threads.get(next % self.threads.len().max(1)) {
            // The thread is gone only when the engine is; the run's lease ends by itself.
            let _ = thread.send(run);
        }
    }
}

/// A thread, until the sender is dropped; `None` when the system gives none.
fn thread<App: Send + Sync + 'static>(
    number: usize,
    bench: Arc<Bench<App>>,
) -> Option<mpsc::UnboundedSender<ClaimedRun>> {
    let (sender, mut runs) = mpsc::unbounded_channel::<ClaimedRun>();
    let body = move || {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return tracing::error!(%error, "functions cannot be executed: a thread has no runtime"),
        };
        let local = LocalSet::new();
        local.block_on(&runtime, async move {
            while let Some(run) = runs.recv().await {
                tokio::task::spawn_local(execute(Arc::clone(&bench), run));
            }
        });
    };
    match std::thread::Builder::new().name(format!("{THREAD}{number}")).spawn(body) {
        Ok(_detached) => Some(sender),
        Err(error) => {
            tracing::error!(%error, "functions cannot be executed: there is no thread for them");
            None
        }
    }
}

/// Executes a run and records where it goes.
async fn execute<App: Send + Sync + 'static>(bench: Arc<Bench<App>>, claimed: ClaimedRun) {
    let (run, token, failures, function) =
        (claimed.id.clone(), claimed.token, claimed.failures, claimed.function.clone());
    // A task of its own, so that a function that panics fails its run and nothing else.
    let executed = tokio::task::spawn_local(outcome(Arc::clone(&bench), claimed)).await;
    let (records, next) = match executed {
        Ok(said) => said,
        Err(ended) if ended.is_panic() => {
            let error = Error::usual(format!("the function panicked: {}", panic_message(&*ended.into_panic())));
            let outcome = bench.functions.get(&function).map(|function| {
                let now = bench.clock.now();
                said(function.failed(&error, failures, now, chance()), failures)
            });
            outcome.unwrap_or_default()
        }
        // The thread ends.
        Err(_) => return,
    };
    if let Some(next) = next {
        // Lost: somebody else records its end.
        let _ = bench.committer.commit(RunCommit { run: run.clone(), token, records, next: Some(next) }).await;
    }
    bench.held.remove(&run, token);
}

type Said = (Vec<StepRecord>, Option<RunNext>);

async fn outcome<App: Send + Sync + 'static>(bench: Arc<Bench<App>>, claimed: ClaimedRun) -> Said {
    let ClaimedRun { id: run, function, token, failures, event, memos } = claimed;
    let Some(function) = bench.functions.get(&function) else { return (Vec::new(), None) };
    let data = match serde_json::from_str(&event.data) {
        Ok(data) => data,
        Err(error) => return (Vec::new(), Some(parked(failures, format!("the event cannot be read: {error}")))),
    };
    let now = bench.clock.now();
    let (memos, over) = match read(memos, now) {
        Ok(read) => read,
        Err(message) => return (Vec::new(), Some(parked(failures, message))),
    };
    let event = Event { id: event.id, name: event.name, data, ts: event.ts };
    let clock = Arc::clone(&bench.clock);
    let (committer, sessions) = (bench.committer.clone(), bench.sessions.clone());
    let journal = Recorder { run: run.clone(), token, committer, sessions, held: Arc::clone(&bench.held) };
    // That a wait is over is recorded before the function hears of it, so that it hears the same the next time.
    for record in over {
        if journal.record(record).await.is_err() {
            return (Vec::new(), None);
        }
    }
    let request = Request { run, event, memos: Arc::new(memos), failures, clock, chance: chance() };
    let outcome = function.execute(Arc::clone(&bench.app), request, Arc::new(journal)).await;
    said(outcome, failures)
}

fn panic_message(payload: &(dyn std::any::Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

/// Memos by their keys, and waits for events that are over.
fn read(memos: Vec<(StepKey, String)>, now: Timestamp) -> Result<(HashMap<StepKey, Memo>, Vec<Record>), String> {
    let (mut read, mut over) = (HashMap::with_capacity(memos.len()), Vec::new());
    for (key, text) in memos {
        let memo = match serde_json::from_str(&text) {
            Ok(Memo::Event { until, .. }) if until <= now => {
                over.push(Record { key: key.clone(), memo: Memo::Came(None) });
                Memo::Came(None)
            }
            Ok(memo) => memo,
            Err(error) => return Err(format!("what is recorded for {key} cannot be read: {error}")),
        };
        read.insert(key, memo);
    }
    Ok((read, over))
}

fn parked(failures: u32, message: String) -> RunNext {
    RunNext { state: after(RunInput::Park), due_at: None, failures, result: None, message: Some(storable(message)) }
}

/// The state of a run that is executed after an input. All inputs of this file are legal then; one that were not would park the run.
fn after(input: RunInput) -> RunState {
    RunState::Running.after(input).unwrap_or(RunState::Parked)
}

/// What an outcome means for the database; nothing when the run is somebody else's.
fn said(outcome: Outcome, failures: u32) -> Said {
    let next = |input, due_at| RunNext { state: after(input), due_at, failures, result: None, message: None };
    match outcome {
        Outcome::Finished(value) => {
            (Vec::new(), Some(RunNext { result: Some(value.to_string()), ..next(RunInput::Finish, None) }))
        }
        Outcome::Failed(error) => {
            (Vec::new(), Some(RunNext { message: Some(storable(error.message)), ..next(RunInput::Fail, None) }))
        }
        Outcome::Retry { at, error } => {
            let message = Some(storable(error.message));
            (Vec::new(), Some(RunNext { failures: failures + 1, message, ..next(RunInput::Suspend, Some(at)) }))
        }
        Outcome::Suspended(waits) => {
            let due_at = waits.iter().map(crate::Wait::until).min();
            let new = waits.into_iter().filter(|wait| wait.is_new);
            let records = new.map(|wait| record(Record { key: wait.key, memo: wait.memo })).collect();
            (records, Some(next(RunInput::Suspend, due_at)))
        }
        Outcome::Parked(_, message) => (Vec::new(), Some(parked(failures, message))),
        Outcome::Lost => (Vec::new(), None),
    }
}

pub(super) fn record(record: Record) -> StepRecord {
    let is_final = matches!(record.memo, Memo::Done(_) | Memo::Failed(_) | Memo::Came(_));
    // A memo is made of strings, numbers and JSON, so it always has a text.
    let memo = serde_json::to_string(&record.memo).unwrap_or_default();
    StepRecord { key: record.key, memo, is_final }
}

/// PostgreSQL's text holds every character but NUL.
fn storable(message: String) -> String {
    message.replace('\0', "\u{fffd}")
}

struct Recorder {
    run: String,
    token: i64,
    committer: Committer,
    sessions: Sessions,
    held: Arc<Held>,
}

impl Journal for Recorder {
    fn record(&self, what: Record) -> Pin<Box<dyn Future<Output = Result<(), Lost>> + Send + '_>> {
        Box::pin(async move {
            if !self.held.is_held(&self.run, self.token) {
                return Err(Lost);
            }
            let (run, records) = (self.run.clone(), vec![record(what)]);
            self.committer.commit(RunCommit { run, token: self.token, records, next: None }).await
        })
    }

    fn begin(&self, limit: Duration) -> Option<Arc<dyn TransactionSession>> {
        Some(self.sessions.begin(&self.run, self.token, &self.held, limit))
    }
}
