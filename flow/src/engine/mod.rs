//! Executes runs out of a database: claims them under a lease, executes them, and records what they did in groups.
//!
//! Any number of engines work on one PostgreSQL; what one of them holds when it dies is due again when its lease ends. On SQLite there is
//! one. Correctness rests on the fencing token alone: an engine that lost a run cannot write to it.

mod claims;
mod committer;
mod held;
mod session;
mod worker;

use std::sync::Arc;
use std::time::Duration;

use billhook_core::Clock;
use billhook_store::{FlowEvent, NewFlowRun, Store, StoreError, Transaction, Work};
use jiff::{SignedDuration, Timestamp};
use ring::rand::{SecureRandom, SystemRandom};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::event::Event;
use crate::registry::Functions;
use claims::Claims;
use committer::Committer;
use held::Held;
use session::Sessions;
use worker::Workers;

pub use worker::is_function_thread;

/// How an engine works.
#[derive(Debug, Clone)]
pub struct EngineOptions {
    /// This process among all that use the database; leases are in this name.
    pub holder: String,
    /// Threads that execute functions: one for each processor is enough, since steps wait more than they compute.
    pub threads: usize,
    /// Runs that are executed at the same time. What is more stays in the database.
    pub runs_max: usize,
    /// How long a run is held without a sign of life. It is also how long a run of a dead process rests.
    pub lease: SignedDuration,
}

impl EngineOptions {
    /// The defaults.
    pub fn new(holder: impl Into<String>) -> Self {
        Self { holder: holder.into(), threads: 2, runs_max: 1_000, lease: SignedDuration::from_secs(10) }
    }
}

/// An engine at work.
pub struct Engine {
    wake: Arc<Notify>,
    stop: watch::Sender<bool>,
    held: Arc<Held>,
    tasks: Vec<JoinHandle<()>>,
}

/// Wakes an engine from elsewhere. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Waker(Arc<Notify>);

impl Waker {
    /// See [`Engine::wake`].
    pub fn wake(&self) {
        self.0.notify_one();
    }
}

/// How long runs may take to come to their next record when the engine stops, before they are left to whoever comes next.
const STOP_PATIENCE: Duration = Duration::from_secs(2);

impl Engine {
    /// Starts. Needs a runtime of tokio's.
    pub fn start<App: Send + Sync + 'static>(
        options: EngineOptions,
        functions: Functions<App>,
        app: Arc<App>,
        store: Store,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let (wake, held) = (Arc::new(Notify::new()), Arc::new(Held::default()));
        let stop = watch::Sender::new(false);
        let (committer, committing) = Committer::start(store.clone(), Arc::clone(&clock));
        let names = functions.ids();
        let sessions = Sessions::new(store.clone(), Arc::clone(&clock));
        let (functions, held_there, clock_there) = (Arc::new(functions), Arc::clone(&held), Arc::clone(&clock));
        let workers = Workers::start(&options, functions, app, committer, sessions, held_there, clock_there);
        let claims = Claims {
            options,
            functions: names,
            store,
            clock,
            workers,
            held: Arc::clone(&held),
            wake: Arc::clone(&wake),
        };
        let claiming = tokio::spawn(claims.run(stop.subscribe()));
        Self { wake, stop, held, tasks: vec![claiming, committing] }
    }

    /// Looks for runs at once, after one was started in this process.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// A handle that wakes it.
    pub fn waker(&self) -> Waker {
        Waker(Arc::clone(&self.wake))
    }

    /// Claims nothing more, waits a little for what is being executed, and stops. What is left is due again when its lease ends.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        let _ = tokio::time::timeout(STOP_PATIENCE, self.held.empty()).await;
        self.abandon();
    }

    /// Stops at once, as a process that dies: nothing is given back.
    pub fn abandon(self) {
        self.held.lose_all();
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Starts the runs of an event, in a transaction of its own or as part of another one.
#[derive(Debug, Clone)]
pub struct Route {
    runs: Vec<NewFlowRun>,
    now: Timestamp,
}

impl Route {
    /// What `event`, known by all of `names`, starts. It starts each function once, however often it is routed.
    pub fn of<App>(functions: &Functions<App>, event: &Event, names: &[String], now: Timestamp) -> Self {
        let stored =
            FlowEvent { id: event.id.clone(), name: event.name.clone(), data: event.data.to_string(), ts: event.ts };
        let run = |function: &crate::Function<App>| NewFlowRun {
            id: ulid(now),
            function: function.id().to_owned(),
            dedupe_key: event.id.clone(),
            event: stored.clone(),
            // An event of the future starts its runs then.
            due_at: now.max(event.ts),
        };
        Self { runs: functions.started_by(names).map(run).collect(), now }
    }

    /// The runs, for whoever writes them with something else.
    pub fn into_runs(self) -> Vec<NewFlowRun> {
        self.runs
    }

    /// The ids that the runs will have, in the order of the functions, if they are new.
    pub fn ids(&self) -> Vec<String> {
        self.runs.iter().map(|run| run.id.clone()).collect()
    }

    /// Starts them within a transaction; returns for each whether it is new.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn within<T: Transaction>(&self, transaction: &mut T) -> Result<Vec<bool>, StoreError> {
        if self.runs.is_empty() {
            return Ok(Vec::new());
        }
        transaction.start_flow_runs(&self.runs, self.now).await
    }
}

impl Work for Route {
    type Output = Vec<bool>;

    async fn run<T: Transaction>(self, transaction: &mut T) -> Result<Vec<bool>, StoreError> {
        self.within(transaction).await
    }
}

/// A random number, for pauses and ids; 0 when the system has none, which costs spread and not correctness.
fn chance() -> u64 {
    let mut bytes = [0; size_of::<u64>()];
    SystemRandom::new().fill(&mut bytes).map_or(0, |()| u64::from_le_bytes(bytes))
}

/// A ULID (github.com/ulid/spec): 48 bits of milliseconds and 80 of chance, in Crockford's base 32, so that runs sort by their start.
fn ulid(now: Timestamp) -> String {
    const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    const CHARACTERS: u32 = 26;
    const CHANCE_BITS: u32 = 80;
    let milliseconds = u128::try_from(now.as_millisecond()).unwrap_or_default() & ((1 << 48) - 1);
    let random = (u128::from(chance()) << 64 | u128::from(chance())) & ((1 << CHANCE_BITS) - 1);
    let value = milliseconds << CHANCE_BITS | random;
    let digit = |place: u32| char::from(ALPHABET[((value >> (5 * place)) & 0x1f) as usize]);
    (0..CHARACTERS).rev().map(digit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn run_ids_sort_by_time_and_never_meet() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let (early, late) = (ulid(at(1_795_188_855)), ulid(at(1_795_188_856)));
        assert_eq!((early.len(), &early[..3]), (26, "01M"));
        assert!(early < late);
        assert_ne!(ulid(at(5)), ulid(at(5)));
    }
}
