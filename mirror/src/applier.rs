//! The applier: committed deliveries become rows, lane by lane.
//!
//! A lane takes what is queued for it, interprets it, and applies it in one transaction. What memory had no room for, what a
//! crash left behind and what another node did not finish is read back from the database's queue.

use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use billhook_core::Clock;
use billhook_core::metrics::{Metrics, Outcome, Reason as ReasonLabel};
use billhook_store::{Delivery, Store, StoreError, StoredDelivery};
use billhook_stripe::envelope::Envelope;
use jiff::SignedDuration;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use crate::apply::{ApplyBatch, ApplyOutcome};
use crate::interpret::{Interpreted, Meaning, Policy, ReadPolicy, interpret};
use crate::quarantine::Reason;
use crate::queue::{Queue, lane_key};
use crate::route::{self, Router};

/// How deliveries are applied.
#[derive(Debug, Clone)]
pub struct ApplierOptions {
    /// Lanes, each with a transaction of its own. One on SQLite, which has one writer.
    pub lanes: usize,
    /// Deliveries in one transaction.
    pub batch_deliveries_max: usize,
    /// Bytes of committed deliveries kept in memory, all lanes together.
    pub memory_bytes_max: usize,
    /// Live or test mode; `None` lets the first delivery decide for good.
    pub livemode: Option<bool>,
    /// The account of this installation; empty when it is not configured.
    pub account: String,
    /// What is read again from Stripe; `None` without an API key.
    pub reads: Option<Arc<ReadPolicy>>,
    /// What starts functions; `None` where there are none.
    pub router: Option<Arc<dyn Router>>,
}

/// A delivery on its way from the committer to its lane.
pub(crate) struct Committed {
    pub(crate) lane_key: u64,
    pub(crate) delivery: StoredDelivery,
    pub(crate) envelope: Option<Envelope>,
}

impl Committed {
    /// A delivery that became durable under the number `sequence`.
    pub(crate) fn new(delivery: &Delivery, sequence: i64, envelope: Option<Envelope>) -> Self {
        let stored = StoredDelivery {
            sequence,
            event_id: delivery.event_id.clone(),
            received_at: delivery.received_at,
            raw: delivery.raw.clone(),
        };
        Self { lane_key: lane_key(&delivery.object_id), delivery: stored, envelope }
    }
}

/// How often the database's queue is looked at, in milliseconds.
const SWEEP_INTERVAL_MS: u64 = 1_000;

/// A delivery younger than this, in milliseconds, is left to the node that received it.
const OTHER_NODES_GRACE_MS: i64 = 2_000;

/// Deliveries read from the database's queue at once.
const SWEEP_DELIVERIES_MAX: usize = 512;

/// Bytes read from the database's queue at once, where memory allows.
const SWEEP_BYTES_MAX: usize = 4 << 20;

/// First and longest pause after a failure, in milliseconds.
const RETRY_MS: (u64, u64) = (50, 2_000);

/// Longest pause of a lane after a failure, in milliseconds: short enough for an orderly end of the program.
const LANE_PAUSE_MS_MAX: u64 = 1_000;

/// Applies deliveries. Cheap to clone.
#[derive(Clone)]
pub struct Applier {
    shared: Arc<Shared>,
    tasks: Arc<Mutex<JoinSet<()>>>,
}

struct Shared {
    options: ApplierOptions,
    store: Store,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    queue: Queue,
    livemode: OnceLock<bool>,
    stopping: Notify,
}

impl Applier {
    /// Starts the lanes and the reader of the database's queue.
    pub fn start(options: ApplierOptions, store: Store, clock: Arc<dyn Clock>, metrics: Arc<Metrics>) -> Self {
        let shared = Arc::new(Shared {
            queue: Queue::new(options.lanes, options.memory_bytes_max),
            livemode: options.livemode.map_or_else(OnceLock::new, OnceLock::from),
            options,
            store,
            clock,
            metrics,
            stopping: Notify::new(),
        });
        let mut tasks = JoinSet::new();
        for lane in 0..shared.options.lanes.max(1) {
            tasks.spawn(shared.clone().lane(lane));
        }
        tasks.spawn(shared.clone().sweep());
        Self { shared, tasks: Arc::new(Mutex::new(tasks)) }
    }

    /// Takes deliveries that were committed a moment ago.
    pub(crate) fn hand_over(&self, committed: Vec<Committed>) {
        self.shared.queue.push(committed);
    }

    /// Lets the transactions in flight end and stops. What is queued stays in the database for the next start.
    pub async fn stop(&self) {
        self.shared.queue.close();
        self.shared.stopping.notify_one();
        let mut tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(std::sync::PoisonError::into_inner));
        while tasks.join_next().await.is_some() {}
    }
}

impl Shared {
    async fn lane(self: Arc<Self>, lane: usize) {
        let mut pause_ms = RETRY_MS.0;
        while let Some(committed) = self.queue.take(lane, self.options.batch_deliveries_max).await {
            let finished: Vec<(i64, usize)> =
                committed.iter().map(|one| (one.delivery.sequence, one.delivery.raw.len())).collect();
            if let Err(error) = self.apply(committed).await {
                tracing::warn!(%error, deliveries = finished.len(), "deliveries could not be applied; they wait in the database");
                self.metrics.apply_failures.inc();
                self.queue.set_overflow();
                // What failed comes back at once; a database that goes on refusing must not be asked without end.
                tokio::time::sleep(Duration::from_millis(pause_ms)).await;
                pause_ms = (pause_ms * 2).min(LANE_PAUSE_MS_MAX);
            } else {
                pause_ms = RETRY_MS.0;
            }
            self.queue.done(finished.into_iter());
        }
    }

    /// Applies a batch; tries again while the database says that this may help, and gives the batch back to the database's
    /// queue when it does not answer. A delivery that the database refuses is set aside alone.
    async fn apply(&self, committed: Vec<Committed>) -> Result<(), StoreError> {
        let policy = self.policy(&committed).await?;
        let mut attempts = 0;
        loop {
            match self.transact(&committed, &policy).await {
                Ok(()) => return Ok(()),
                Err(StoreError::Conflict(_)) if attempts < CONFLICT_ATTEMPTS_MAX => attempts += 1,
                Err(error) if error.is_transient() => return Err(error),
                Err(error) if committed.len() == 1 => return self.set_aside(&committed[0], &error).await,
                Err(_) => break,
            }
        }
        for one in committed {
            let one = [one];
            match self.transact(&one, &policy).await {
                Err(error) if error.is_transient() => return Err(error),
                Err(error) => self.set_aside(&one[0], &error).await?,
                Ok(()) => {}
            }
        }
        Ok(())
    }

    /// The mode of the database: configured, remembered, or decided by the first delivery that names one. A delivery that is
    /// refused decides nothing: one of a connected account could turn the database away from its own.
    async fn policy(&self, committed: &[Committed]) -> Result<Policy, StoreError> {
        let mut policy = Policy {
            livemode: self.livemode.get().copied(),
            account: self.options.account.clone(),
            reads: self.options.reads.clone(),
        };
        if policy.livemode.is_none()
            && let Some(livemode) = committed.iter().find_map(|one| deciding_mode(one, &policy))
        {
            let pinned = self.store.pin_setting("mode", if livemode { "live" } else { "test" }).await?;
            let _ = self.livemode.set(pinned == "live");
            policy.livemode = self.livemode.get().copied();
        }
        Ok(policy)
    }

    async fn transact(&self, committed: &[Committed], policy: &Policy) -> Result<(), StoreError> {
        let router = self.options.router.as_deref();
        let deliveries = committed
            .iter()
            .map(|one| {
                let mut interpreted = interpret(&one.delivery, one.envelope.as_ref(), policy);
                if let Some(router) = router {
                    interpreted.routed = route::routed(router, &one.delivery, one.envelope.as_ref(), &interpreted);
                }
                interpreted
            })
            .collect();
        self.run(ApplyBatch {
            deliveries,
            policy: policy.clone(),
            router: self.options.router.clone(),
            now: self.clock.now(),
        })
        .await
    }

    async fn set_aside(&self, one: &Committed, error: &StoreError) -> Result<(), StoreError> {
        tracing::error!(%error, event_id = %one.delivery.event_id, "a delivery could not be applied and is quarantined");
        let refused = Interpreted {
            sequence: one.delivery.sequence,
            event_id: one.delivery.event_id.clone(),
            received_at: one.delivery.received_at,
            meaning: Meaning::Refused,
            shown: Some((Reason::ApplyFailed, error.to_string())),
            doubt: None,
            routed: None,
        };
        self.run(ApplyBatch {
            deliveries: vec![refused],
            policy: Policy::default(),
            router: None,
            now: self.clock.now(),
        })
        .await
    }

    async fn run(&self, batch: ApplyBatch) -> Result<(), StoreError> {
        let outcome = self.store.transact(batch).await?;
        if let Some(router) = self.options.router.as_deref().filter(|_| outcome.runs_moved > 0) {
            router.started();
        }
        self.observe(&outcome);
        Ok(())
    }

    fn observe(&self, outcome: &ApplyOutcome) {
        let metrics = &self.metrics;
        let now = self.clock.now();
        for received_at in &outcome.applied {
            metrics.apply_lag_seconds.observe(now.duration_since(*received_at).as_secs_f64().max(0.0));
        }
        metrics.applied.inc_by(outcome.applied.len() as u64);
        outcome.count(metrics);
        metrics.ties.get_or_create(&Outcome { outcome: "decided" }).inc_by(outcome.ties_decided);
        metrics.ties.get_or_create(&Outcome { outcome: "dirty" }).inc_by(outcome.ties_dirty);
        for reason in &outcome.quarantined {
            metrics.quarantined.get_or_create(&ReasonLabel { reason: reason.name() }).inc();
        }
    }

    /// Reads back what memory does not hold: at once after a start, then whenever something was left behind.
    async fn sweep(self: Arc<Self>) {
        let mut grace = SignedDuration::ZERO;
        let mut pause_ms = RETRY_MS.0;
        loop {
            match self.sweep_once(grace).await {
                Ok(true) => pause_ms = RETRY_MS.0,
                Ok(false) => {
                    grace = SignedDuration::from_millis(OTHER_NODES_GRACE_MS);
                    pause_ms = SWEEP_INTERVAL_MS;
                }
                Err(error) => {
                    tracing::debug!(%error, "the queue of unapplied deliveries could not be read; trying again");
                    pause_ms = (pause_ms * 2).min(RETRY_MS.1);
                }
            }
            tokio::select! {
                () = self.stopping.notified() => return,
                () = self.queue.room.notified() => {}
                () = tokio::time::sleep(Duration::from_millis(pause_ms)) => {}
            }
        }
    }

    /// Reads one portion; returns whether there may be more.
    async fn sweep_once(&self, grace: SignedDuration) -> Result<bool, StoreError> {
        // Never more than half of the memory there is, or a small memory would never have room for a portion.
        let portion = SWEEP_BYTES_MAX.min(self.options.memory_bytes_max / 2);
        if self.queue.room_bytes() < portion {
            return Ok(true);
        }
        let overflowed = self.queue.take_overflow();
        let grace = if overflowed { SignedDuration::ZERO } else { grace };
        let before = self.clock.now().saturating_sub(grace).unwrap_or(jiff::Timestamp::MIN);
        let pending = self.store.pending_deliveries(before, self.queue.present(), SWEEP_DELIVERIES_MAX, portion).await;
        let pending = pending.inspect_err(|_| {
            if overflowed {
                self.queue.set_overflow()
            }
        })?;
        let found: Vec<Committed> = pending
            .into_iter()
            .map(|delivery| {
                let envelope = Envelope::parse(&delivery.raw).ok();
                let object_id = envelope.as_ref().and_then(|envelope| envelope.object_id.as_deref());
                Committed { lane_key: lane_key(object_id.unwrap_or_default()), delivery, envelope }
            })
            .collect();
        let more = !found.is_empty();
        if overflowed && more {
            self.queue.set_overflow();
        }
        self.queue.push(found);
        Ok(more)
    }
}

/// Attempts of a batch that collided with another node's before it waits in the database.
const CONFLICT_ATTEMPTS_MAX: u32 = 5;

/// The mode of a delivery that this database takes.
fn deciding_mode(committed: &Committed, undecided: &Policy) -> Option<bool> {
    let livemode = committed.envelope.as_ref()?.livemode?;
    let interpreted = interpret(&committed.delivery, committed.envelope.as_ref(), undecided);
    (!matches!(interpreted.meaning, Meaning::Refused)).then_some(livemode)
}
