//! The reader: everything that keeps the mirror equal, on the one process that holds the lease.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use billhook_core::metrics::Outcome;
use billhook_stripe::api::ApiState;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::catch_up::CatchUp;
use super::chore::{self, Chore, Failures, Signals};
use super::drift;
use super::error::EqualError;
use super::lag::Lag;
use super::parts::Parts;
use super::reconcile::{self, ReconcileOptions, Stepped};
use crate::interpret::{Policy, ReadPolicy};
use crate::reread::reread;
use crate::sync::{ApiSource, SourceOptions, Syncer, names};

/// How the mirror is kept equal.
#[derive(Clone)]
pub struct ReaderOptions {
    /// Between two passes of catch-up.
    pub interval: Duration,
    /// Each kind is read again at most once in this time; `None` for never.
    pub reconcile_period: Option<SignedDuration>,
    /// How long an event may come after a read that found its change; `None` for three intervals of catch-up.
    pub drift_grace: Option<SignedDuration>,
    /// The account of this installation; empty when it is not configured.
    pub account: String,
    /// How marked objects are read again; its account is the one above.
    pub source: SourceOptions,
    /// What walks the lists of the comparison in this process, so that one is told of the other at once; without it, both look.
    pub syncer: Option<Syncer>,
    /// What else is read because of what was read: whether objects that the mirror lacks are fetched.
    pub reads: Option<Arc<ReadPolicy>>,
}

impl Default for ReaderOptions {
    fn default() -> Self {
        Self {
            interval: Duration::from_secs(60),
            reconcile_period: Some(SignedDuration::from_hours(24)),
            drift_grace: None,
            account: String::new(),
            source: SourceOptions::default(),
            syncer: None,
            reads: None,
        }
    }
}

/// Passes of catch-up within which an event is expected after the read that found its change.
const GRACE_INTERVALS: i32 = 3;

/// Between two sweeps for failed deliveries, in minutes.
const UNDELIVERED_EVERY_MINUTES: i64 = 60;

/// Between beginning to read a kind again and the first look at whether it is done, in milliseconds: most kinds are empty.
const RECONCILE_BEGUN_MS: u64 = 100;

/// Between two further looks, in milliseconds.
const RECONCILE_WAITING_MS: u64 = 250;

/// The longest time between two looks at whether a kind is due, in milliseconds.
const RECONCILE_IDLE_MS: u64 = 10_000;

/// Objects read again in one turn.
const REREADS_MAX: usize = 200;

/// Between two looks for objects to read again, while there are none, in milliseconds.
const REREAD_MS: u64 = 1_000;

/// Between two moments at which the lag is shown, in milliseconds.
const SHOW_MS: u64 = 1_000;

/// How reading goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReaderStatus {
    /// Whether this process is the one that reads.
    pub active: bool,
    /// Why no requests are made, when Stripe refuses the key.
    pub paused: Option<String>,
    /// The moment up to which every event is known to be in the inbox.
    pub complete: Option<Timestamp>,
    /// What fails at the moment, with the reason.
    pub failures: Vec<(&'static str, String)>,
}

/// Keeps the mirror equal while this process is the one that reads from Stripe.
pub struct Reader {
    parts: Parts,
    lag: Arc<Lag>,
    failures: Arc<Failures>,
    active: watch::Receiver<bool>,
    stop: watch::Sender<bool>,
    tasks: Mutex<JoinSet<()>>,
}

impl Reader {
    /// Starts. It works while `active` is true, see [`super::ReaderLease`].
    pub fn start(options: ReaderOptions, parts: Parts, active: watch::Receiver<bool>) -> Self {
        let (stop, stopping) = watch::channel(false);
        let signals = Signals { active: active.clone(), stop: stopping };
        let failures = Arc::new(Failures::default());
        let catch_up = CatchUp::new(parts.clone());
        let lag = catch_up.lag();
        let grace = options.drift_grace.unwrap_or_else(|| {
            SignedDuration::try_from(options.interval).unwrap_or(SignedDuration::MAX).saturating_mul(GRACE_INTERVALS)
        });
        let mut tasks = JoinSet::new();
        let catching = Catching { catch_up, interval: options.interval, undelivered_at: Timestamp::MIN };
        tasks.spawn(chore::run(catching, signals.clone(), Arc::clone(&failures)));
        let deciding = Deciding { parts: parts.clone(), lag: Arc::clone(&lag), grace, interval: options.interval };
        tasks.spawn(chore::run(deciding, signals.clone(), Arc::clone(&failures)));
        if let Some(period) = options.reconcile_period {
            let sweep = ReconcileOptions { period, account: options.account.clone(), targets: names::everything() };
            let sweeping = Sweeping { parts: parts.clone(), options: sweep, syncer: options.syncer };
            tasks.spawn(chore::run(sweeping, signals.clone(), Arc::clone(&failures)));
        }
        let source = SourceOptions { account: options.account.clone(), ..options.source };
        let source = ApiSource::new(parts.api.clone(), parts.store.clone(), source);
        let rereading = Rereading { parts: parts.clone(), source, account: options.account, reads: options.reads };
        tasks.spawn(chore::run(rereading, signals.clone(), Arc::clone(&failures)));
        tasks.spawn(show(parts.clone(), Arc::clone(&lag), signals));
        Self { parts, lag, failures, active, stop, tasks: Mutex::new(tasks) }
    }

    /// How it goes.
    pub fn status(&self) -> ReaderStatus {
        let paused = match &*self.parts.api.state().borrow() {
            ApiState::Working => None,
            ApiState::Paused { message } => Some(message.clone()),
        };
        ReaderStatus {
            active: *self.active.borrow(),
            paused,
            complete: self.lag.complete(),
            failures: self.failures.list(),
        }
    }

    /// Stops. What was begun is begun again at the next start.
    pub async fn stop(&self) {
        self.stop.send_replace(true);
        let mut tasks = std::mem::take(&mut *self.tasks.lock().unwrap_or_else(PoisonError::into_inner));
        while tasks.join_next().await.is_some() {}
    }
}

/// Shows whether this process reads, and how far behind the mirror is, also while Stripe does not answer.
async fn show(parts: Parts, lag: Arc<Lag>, mut signals: Signals) {
    loop {
        let active = *signals.active.borrow();
        parts.metrics.reader_active.set(i64::from(active));
        if active {
            lag.show(&parts.metrics, parts.clock.now());
        }
        tokio::select! {
            _ = signals.stop.wait_for(|stop| *stop) => break,
            () = tokio::time::sleep(Duration::from_millis(SHOW_MS)) => {}
        }
    }
    parts.metrics.reader_active.set(0);
}

struct Catching {
    catch_up: CatchUp,
    interval: Duration,
    undelivered_at: Timestamp,
}

impl Chore for Catching {
    const NAME: &'static str = "catch-up";

    async fn turn(&mut self) -> Result<Duration, EqualError> {
        let caught = self.catch_up.pass().await?;
        if caught.new > 0 {
            tracing::info!(events = caught.new, "caught up with events that were not delivered");
        }
        let now = self.catch_up.now();
        let every = SignedDuration::from_mins(UNDELIVERED_EVERY_MINUTES);
        if now.duration_since(self.undelivered_at) >= every {
            self.catch_up.sweep_undelivered().await?;
            self.undelivered_at = now;
        }
        Ok(self.interval)
    }
}

struct Deciding {
    parts: Parts,
    lag: Arc<Lag>,
    grace: SignedDuration,
    interval: Duration,
}

impl Chore for Deciding {
    const NAME: &'static str = "drift";

    async fn turn(&mut self) -> Result<Duration, EqualError> {
        // Before catch-up is through, the event that explains a find may be on its way.
        if let Some(complete) = self.lag.complete() {
            drift::settle(&self.parts, self.grace, complete).await?;
        }
        Ok(self.interval)
    }
}

struct Rereading {
    parts: Parts,
    source: ApiSource,
    account: String,
    reads: Option<Arc<ReadPolicy>>,
}

impl Chore for Rereading {
    const NAME: &'static str = "re-read";

    async fn turn(&mut self) -> Result<Duration, EqualError> {
        let parts = &self.parts;
        // Marks wait for seconds of Stripe's clock to be over.
        let skew = SignedDuration::from_secs(parts.metrics.api_clock_skew_seconds.get());
        let now = parts.clock.now();
        let now = now.checked_sub(skew).unwrap_or(now);
        let livemode = parts.store.setting("mode").await?.map(|mode| mode == "live");
        let policy = Policy { livemode, account: self.account.clone(), reads: self.reads.clone() };
        let outcome = reread(&parts.store, &self.source, &policy, now, REREADS_MAX).await?;
        for (what, objects) in [
            ("settled", outcome.settled),
            ("arrived", outcome.arrived),
            ("postponed", outcome.postponed),
            ("dropped", outcome.dropped),
        ] {
            if objects > 0 {
                parts.metrics.rereads.get_or_create(&Outcome { outcome: what }).inc_by(objects as u64);
            }
        }
        Ok(if outcome.done() == 0 { Duration::from_millis(REREAD_MS) } else { Duration::ZERO })
    }
}

struct Sweeping {
    parts: Parts,
    options: ReconcileOptions,
    syncer: Option<Syncer>,
}

impl Chore for Sweeping {
    const NAME: &'static str = "re-list";

    async fn turn(&mut self) -> Result<Duration, EqualError> {
        let period_ms = u64::try_from(self.options.period.as_millis()).unwrap_or(u64::MAX);
        let stepped = reconcile::step(&self.parts, &self.options).await?;
        let pause_ms = match stepped {
            Stepped::Idle => RECONCILE_IDLE_MS.min(period_ms),
            Stepped::Waiting => RECONCILE_WAITING_MS,
            Stepped::Started(_) => RECONCILE_BEGUN_MS,
            Stepped::Finished { .. } => 0,
        };
        let pause = Duration::from_millis(pause_ms);
        match (&self.syncer, stepped) {
            (Some(syncer), Stepped::Waiting | Stepped::Started(_)) => {
                syncer.wake();
                // Most kinds are empty, and their walk is over long before it would be looked for.
                let _ = tokio::time::timeout(pause, syncer.walk_ended()).await;
                Ok(Duration::ZERO)
            }
            _ => Ok(pause),
        }
    }
}
