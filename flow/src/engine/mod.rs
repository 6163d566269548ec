//! Executes runs out of a database: claims them under a lease, executes them, and records what they did in groups.
//!
//! Any number of engines work on one PostgreSQL; what one of them holds when it dies is due again when its lease ends. On SQLite there is
//! one. Correctness rests on the fencing token alone: an engine that lost a run cannot write to it.

mod beside;
mod claims;
mod committer;
mod cron;
mod ends;
mod enrich;
mod held;
mod hints;
mod lookback;
mod migration;
mod pace;
mod pinned;
mod route;
mod schedule;
mod session;
mod strays;
mod upkeep;
mod worker;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use billhook_core::Clock;
use billhook_store::Store;
use jiff::SignedDuration;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::exchange::Mirror;
use crate::names::Aliases;
use crate::registry::Functions;
use beside::Beside;
use claims::Claims;
use committer::Committer;
use cron::Crons;
use held::Held;
use hints::Hints;
use pace::Pace;
use pinned::Pinned;
use schedule::Scheduled;
use session::Sessions;
use upkeep::Upkeep;
use worker::{Bench, Workers};

pub use enrich::{Enrich, EnrichError, Enriching};
pub use lookback::ReadDelivery;
pub use migration::ORPHANS;
pub use pace::{Settle, Settling};
pub(crate) use route::shown;
pub use route::{Matcher, Publish, Source, handed_in, publication, signal};
pub use worker::is_function_thread;

/// How an engine works.
#[derive(Clone)]
pub struct EngineOptions {
    /// This process among all that use the database; leases are in this name.
    pub holder: String,
    /// Threads that execute functions: one for each processor is enough, since steps wait more than they compute. With 0 they are executed
    /// where the engine was started, which has to be in a [`tokio::task::LocalSet`]: in a simulation everything is on one thread.
    pub threads: usize,
    /// Runs that are executed at the same time. What is more stays in the database.
    pub runs_max: usize,
    /// How long a run is held without a sign of life, of which there are three in this time, by the engine's clock. A run of a dead process
    /// rests as long at most, and until the next look of another process, a quarter of a second. A clock that runs faster than the world
    /// needs a lease that is longer by the same factor.
    pub lease: SignedDuration,
    /// Reads Stripe's events out of their deliveries, for runs that wait for one which came before they did. `None` without a mirror.
    pub read_delivery: Option<ReadDelivery>,
    /// The mirror that functions read, by whose router every event is also called [`crate::APPLIED`]. `None` without one.
    pub mirror: Option<Arc<dyn Mirror>>,
    /// Friendly names of Stripe's events.
    pub aliases: Aliases,
    /// Completes the data of events before a function sees them; what it gave is recorded.
    pub enrich: Option<Arc<dyn Enrich>>,
}

impl fmt::Debug for EngineOptions {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("EngineOptions");
        shown.field("holder", &self.holder).field("threads", &self.threads).field("runs_max", &self.runs_max);
        shown.field("lease", &self.lease).field("enriches", &self.enrich.is_some()).finish_non_exhaustive()
    }
}

/// A run of a dead process is resumed within ten seconds: at most this after its death its lease has ended, and two seconds are left for
/// the look of another process and for a database that is busy.
const LEASE: SignedDuration = SignedDuration::from_secs(8);

impl EngineOptions {
    /// The defaults.
    pub fn new(holder: impl Into<String>) -> Self {
        Self {
            holder: holder.into(),
            threads: 2,
            runs_max: 1_000,
            lease: LEASE,
            read_delivery: None,
            mirror: None,
            aliases: Aliases::default(),
            enrich: None,
        }
    }
}

/// An engine at work.
pub struct Engine {
    wake: Arc<Notify>,
    scheduled: Arc<Notify>,
    stop: watch::Sender<bool>,
    held: Arc<Held>,
    store: Store,
    clock: Arc<dyn Clock>,
    settle: Arc<dyn Settle>,
    tasks: Vec<JoinHandle<()>>,
}

/// Wakes an engine from elsewhere. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Waker {
    runs: Arc<Notify>,
    scheduled: Arc<Notify>,
}

impl Waker {
    /// See [`Engine::wake`].
    pub fn wake(&self) {
        self.runs.notify_one();
    }

    /// Looks for scheduled events at once, after one that is due was written in this process.
    pub fn sent(&self) {
        self.scheduled.notify_one();
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
        let (names, places, lanes) = (functions.ids(), functions.places(), Arc::clone(functions.lanes()));
        let functions = Arc::new(functions);
        let (newest, pinned) = (functions.newest_versions(), functions.pinned_versions());
        let priorities = functions.priorities();
        let bench = Bench {
            functions: Arc::clone(&functions),
            ids: names.clone().into(),
            app,
            store: store.clone(),
            committer,
            sessions: Sessions::new(store.clone(), Arc::clone(&clock)),
            held: Arc::clone(&held),
            clock: Arc::clone(&clock),
            wake: Arc::clone(&wake),
            read_delivery: options.read_delivery,
            mirror: options.mirror.clone(),
            aliases: options.aliases.clone(),
            enrich: options.enrich.clone(),
        };
        let beside = Beside::new(functions, store.clone(), Arc::clone(&clock), Arc::clone(&wake));
        let (scheduled, hints) = (Arc::clone(&beside.scheduled), Hints::default());
        let claims = Claims {
            workers: Workers::start(&options, bench),
            options,
            functions: names,
            newest,
            pinned,
            active: Vec::new(),
            paused_read: None,
            places,
            lanes,
            priorities,
            store: store.clone(),
            clock: Arc::clone(&clock),
            held: Arc::clone(&held),
            wake: Arc::clone(&wake),
            has_news: false,
            hints: hints.clone(),
        };
        let settle = Arc::new(Pace(beside.clone()));
        let claiming = tokio::spawn(claims.run(stop.subscribe()));
        let tasks = vec![
            claiming,
            tokio::spawn(Scheduled(beside.clone()).run(stop.subscribe())),
            tokio::spawn(Crons(beside.clone()).run(stop.subscribe())),
            tokio::spawn(Pinned(beside.clone()).run(stop.subscribe())),
            tokio::spawn(Upkeep(beside).run(stop.subscribe())),
            tokio::spawn(hints.run(store.clone(), Arc::clone(&scheduled))),
            committing,
        ];
        Self { wake, scheduled, stop, held, store, clock, settle, tasks }
    }

    /// Looks for runs at once, after one was started in this process.
    pub fn wake(&self) {
        self.wake.notify_one();
    }

    /// What brings all to rest that is due, for whoever moves its clock by hand. No other engine may work on the database then.
    pub fn settle(&self) -> Arc<dyn Settle> {
        Arc::clone(&self.settle)
    }

    /// A handle that wakes it.
    pub fn waker(&self) -> Waker {
        Waker { runs: Arc::clone(&self.wake), scheduled: Arc::clone(&self.scheduled) }
    }

    /// Claims nothing more, waits a little for what is being executed, gives back what is left, and stops.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        let _ = tokio::time::timeout(STOP_PATIENCE, self.held.empty()).await;
        let left = self.held.all();
        if !left.is_empty() {
            match self.store.release_flow_runs(&left, self.clock.now()).await {
                Ok(_) => self.store.hint_flow_runs().await,
                Err(error) => {
                    let runs = left.len();
                    tracing::warn!(%error, runs, "runs could not be given back; they are due when their lease ends");
                }
            }
        }
        self.abandon();
    }

    /// Stops at once, as a process that dies: nothing is given back.
    pub fn abandon(self) {
        self.held.lose_all();
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}
