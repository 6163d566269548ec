//! Claims segments and has them walked.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use billhook_core::Clock;
use billhook_core::metrics::Metrics;
use billhook_store::{RECONCILE, RunSummary, Segment, SegmentEnd, Store, StoreError};
use billhook_stripe::api::Api;
use jiff::{SignedDuration, Timestamp};
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::{Id, JoinHandle, JoinSet};

use super::mode::ModeError;
use super::shared::{LEASE_SECONDS, Shared};
use super::split::Idle;
use super::streams;
use super::walk::{Ending, Walk};
use super::writer::Writer;

/// How segments are read.
#[derive(Debug, Clone)]
pub struct SyncOptions {
    /// This process among all that use the database; leases are in this name.
    pub holder: String,
    /// Segments that are walked at the same time.
    pub parallel: usize,
    /// The account of this installation; empty when it is not configured.
    pub account: String,
    /// First pause after a failure that may pass, in milliseconds; each further one is twice as long.
    pub retry_first_ms: u64,
}

impl SyncOptions {
    /// The defaults.
    pub fn new(holder: impl Into<String>) -> Self {
        Self { holder: holder.into(), parallel: 8, account: String::new(), retry_first_ms: 1_000 }
    }
}

/// Walks of the rolling re-list at the same time: its share of the rate is small.
const RECONCILE_WALKS: usize = 1;

/// Transactions with pages at the same time on PostgreSQL, each on a processor of its own there. More only compete with the applier.
const WRITERS_POSTGRES: usize = 2;

/// How often segments are looked for, in milliseconds: another node may have started a run.
const LOOK_INTERVAL_MS: u64 = 500;

/// Failures of one segment, without a page in between, before it is given up.
const ATTEMPTS_MAX: i32 = 6;

/// Longest pause of a segment after a failure, in milliseconds.
const RETRY_LONGEST_MS: u64 = 60_000;

/// How long a segment rests that waits for its parents' run, in milliseconds: most such runs are over at once.
const PARENT_REST_MS: i64 = 200;

/// How long a segment rests that waits for a key that works, in milliseconds.
const KEY_REST_MS: i64 = 2_000;

/// Open runs that are looked at for what waits for what.
const RUNS_MAX: usize = 1_000;

/// Walks segments while it is told to. Cheap to clone.
#[derive(Clone)]
pub struct Syncer {
    shared: Arc<Shared>,
    stopping: watch::Sender<bool>,
    /// Taken by whoever stops it.
    tasks: Arc<Mutex<Option<Tasks>>>,
}

struct Tasks {
    claiming: JoinHandle<()>,
    writing: Vec<JoinHandle<()>>,
}

impl Syncer {
    /// Starts. Segments are claimed while `active` is true; when it turns false, those that are being walked are given back
    /// after their next commit.
    pub fn start(
        options: SyncOptions,
        store: Store,
        api: Api,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        active: watch::Receiver<bool>,
    ) -> Self {
        let (writer, pages) = mpsc::channel(options.parallel.max(1));
        let stopping = watch::Sender::new(false);
        let writers = match store {
            Store::Postgres(_) => WRITERS_POSTGRES,
            // It has one writer of its own.
            Store::Sqlite(_) => 1,
        };
        let write = Writer {
            store: store.clone(),
            clock: Arc::clone(&clock),
            metrics: Arc::clone(&metrics),
            account: options.account.clone(),
            writers,
            stopping: stopping.subscribe(),
        };
        let shared = Arc::new(Shared {
            options,
            store,
            api,
            clock,
            metrics,
            writer,
            idle: Idle::default(),
            wake: Notify::new(),
            ended: Notify::new(),
            halt: watch::Sender::new(false),
            expected: Mutex::default(),
            livemode: OnceLock::new(),
        });
        let claims = Claims {
            shared: Arc::clone(&shared),
            walks: JoinSet::new(),
            running: HashMap::new(),
            renewed_at: Timestamp::MIN,
        };
        let pages = Arc::new(tokio::sync::Mutex::new(pages));
        let writing = (0..writers).map(|_| tokio::spawn(write.clone().run(Arc::clone(&pages)))).collect();
        let claiming = tokio::spawn(claims.run(active, stopping.subscribe()));
        Self { shared, stopping, tasks: Arc::new(Mutex::new(Some(Tasks { claiming, writing }))) }
    }

    /// Looks for segments at once, after a run was started in this process.
    pub fn wake(&self) {
        self.shared.wake.notify_one();
    }

    /// Waits until a walk of this process has ended.
    pub async fn walk_ended(&self) {
        self.shared.ended.notified().await;
    }

    /// Lets the commits in flight end, gives all segments back and stops.
    pub async fn stop(&self) {
        self.stopping.send_replace(true);
        let tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Tasks { claiming, writing }) = tasks else { return };
        let _ = claiming.await;
        // No walk is left, so nothing waits for what they write.
        writing.iter().for_each(JoinHandle::abort);
    }
}

/// The task that claims.
struct Claims {
    shared: Arc<Shared>,
    walks: JoinSet<()>,
    /// What is walked, by the task that walks it.
    running: HashMap<Id, Held>,
    renewed_at: Timestamp,
}

/// A segment that is being walked.
#[derive(Debug, Clone, Copy)]
struct Held {
    segment: i64,
    token: i64,
    reconcile: bool,
}

impl Claims {
    async fn run(mut self, mut active: watch::Receiver<bool>, mut stopping: watch::Receiver<bool>) {
        loop {
            let is_active = *active.borrow_and_update();
            if *stopping.borrow() {
                return self.halt().await;
            }
            if is_active {
                self.shared.halt.send_replace(false);
                self.look().await;
            } else if !self.running.is_empty() {
                self.halt().await;
            }
            tokio::select! {
                // Nobody is left who could stop it in order.
                changed = stopping.changed() => if changed.is_err() { return self.halt().await },
                changed = active.changed() => if changed.is_err() { return self.halt().await },
                () = self.shared.wake.notified() => {}
                Some(ended) = self.walks.join_next_with_id(), if !self.walks.is_empty() => self.ended(ended),
                () = tokio::time::sleep(Duration::from_millis(LOOK_INTERVAL_MS)) => {}
            }
        }
    }

    /// Ends all walks after their commits and gives their segments back.
    async fn halt(&mut self) {
        self.shared.halt.send_replace(true);
        while let Some(ended) = self.walks.join_next_with_id().await {
            self.ended(ended);
        }
        let shared = &self.shared;
        if let Err(error) = shared.store.release_segments(&shared.options.holder, shared.clock.now()).await {
            tracing::warn!(%error, "segments could not be given back; they are free again in {LEASE_SECONDS} s");
        }
    }

    fn ended(&mut self, ended: Result<(Id, ()), tokio::task::JoinError>) {
        let id = match ended {
            Ok((id, ())) => id,
            Err(error) => {
                tracing::error!(%error, "a walk ended abnormally; its segment is read again when its lease is over");
                error.id()
            }
        };
        self.running.remove(&id);
        self.shared.metrics.sync_segments.set(i64::try_from(self.running.len()).unwrap_or(i64::MAX));
    }

    /// Renews what is held and claims as many segments as there are idle workers.
    async fn look(&mut self) {
        while let Some(ended) = self.walks.try_join_next_with_id() {
            self.ended(ended);
        }
        if let Err(error) = self.renew().await {
            tracing::warn!(%error, "leases could not be lengthened");
        }
        if let Err(error) = self.claim().await {
            tracing::debug!(%error, "segments could not be claimed; trying again");
        }
    }

    async fn renew(&mut self) -> Result<(), StoreError> {
        let shared = &self.shared;
        let now = shared.clock.now();
        if self.running.is_empty() || now.duration_since(self.renewed_at).as_secs() < LEASE_SECONDS / 3 {
            return Ok(());
        }
        let held: Vec<(i64, i64)> = self.running.values().map(|held| (held.segment, held.token)).collect();
        // What is no longer ours is found out by its walk, whose commit is fenced off.
        shared.store.renew_segments(&shared.options.holder, &held, later(now, LEASE_SECONDS * 1_000)).await?;
        self.renewed_at = now;
        Ok(())
    }

    async fn claim(&mut self) -> Result<(), StoreError> {
        let shared = Arc::clone(&self.shared);
        let (now, holder) = (shared.clock.now(), &shared.options.holder);
        let until = later(now, LEASE_SECONDS * 1_000);
        let mut segments = Vec::new();
        // The rolling re-list takes no worker away from those that somebody waits for.
        for (reconcile, free) in [(false, self.idle()), (true, RECONCILE_WALKS.saturating_sub(self.walks_of(true)))] {
            if free > 0 {
                segments.extend(shared.store.claim_segments(holder, now, until, free, reconcile).await?);
            }
        }
        if !segments.is_empty() {
            let mode = shared.check_key().await;
            let mut open = shared.store.list_runs(RUNS_MAX, true).await?;
            // The rolling re-list is always somewhere, and brings nothing soon.
            open.retain(|run| run.trigger != RECONCILE);
            shared.expect(completely_read(&open));
            for segment in segments {
                match &mode {
                    Ok(()) => self.begin(segment, &open).await?,
                    Err(ModeError::Store(error)) => return Err(error.clone()),
                    Err(error) => {
                        tracing::error!(%error, object = segment.object, "nothing is read");
                        let (id, token, message) = (segment.id, segment.token, error.to_string());
                        shared.store.close_segment(id, token, SegmentEnd::Failed, &message, now).await?;
                    }
                }
            }
        }
        shared.idle.set(self.idle());
        shared.metrics.sync_segments.set(i64::try_from(self.running.len()).unwrap_or(i64::MAX));
        Ok(())
    }

    /// Walks of the rolling re-list, or all others.
    fn walks_of(&self, reconcile: bool) -> usize {
        self.running.values().filter(|held| held.reconcile == reconcile).count()
    }

    /// Workers that have nothing to do.
    fn idle(&self) -> usize {
        self.shared.options.parallel.max(1).saturating_sub(self.walks_of(false))
    }

    async fn begin(&mut self, segment: Segment, open: &[RunSummary]) -> Result<(), StoreError> {
        let shared = Arc::clone(&self.shared);
        let Some(stream) = streams::named(&segment.stream) else {
            let message =
                format!("this program knows no list {:?}; run the Billhook that started the run", segment.stream);
            let now = shared.clock.now();
            shared.store.close_segment(segment.id, segment.token, SegmentEnd::Failed, &message, now).await?;
            return Ok(());
        };
        let waits = stream.parent.is_some_and(|parent| {
            segment.cursor.is_empty() && open.iter().any(|run| run.object == parent.object && run.id != segment.run)
        });
        if waits {
            return rest(&shared, segment.id, segment.token, PARENT_REST_MS).await;
        }
        let (id, token, reconcile) = (segment.id, segment.token, segment.trigger == RECONCILE);
        let held = Held { segment: id, token, reconcile };
        let task = self.walks.spawn(walk(shared, segment, stream));
        self.running.insert(task.id(), held);
        Ok(())
    }
}

/// Kinds that open runs read without a window: what refers to them need not be fetched one by one.
fn completely_read(open: &[RunSummary]) -> HashSet<String> {
    let complete = open.iter().filter(|run| run.created_gte.is_none() && run.created_lt.is_none());
    complete.map(|run| run.object.clone()).collect()
}

/// Walks a segment and notes how it ended.
async fn walk(shared: Arc<Shared>, segment: Segment, stream: &'static streams::Stream) {
    let (id, token, run, attempts) = (segment.id, segment.token, segment.run, segment.attempts);
    let ending = Walk::new(Arc::clone(&shared), segment, stream).run().await;
    let now = shared.clock.now();
    let noted = match ending {
        Ending::Over => Ok(()),
        Ending::Stopped => rest(&shared, id, token, 0).await,
        Ending::Released(message) => {
            tracing::warn!(
                stream = stream.name,
                message,
                "Stripe refuses the key; reading goes on when it works again"
            );
            rest(&shared, id, token, KEY_REST_MS).await
        }
        Ending::Postponed(message) | Ending::Declined(message) if attempts + 1 < ATTEMPTS_MAX => {
            tracing::warn!(stream = stream.name, message, "a list could not be read; it is tried again");
            shared.failed("postponed");
            let until = later(now, pause_ms(shared.options.retry_first_ms, attempts));
            shared.store.postpone_segment(id, token, until, &message, now).await.map(drop)
        }
        Ending::Postponed(message) | Ending::Declined(message) => {
            close(&shared, id, token, SegmentEnd::Failed, stream, message).await
        }
        Ending::Missing(message) => close(&shared, id, token, SegmentEnd::NotAvailable, stream, message).await,
        Ending::Fallback(instead) => {
            close(&shared, id, token, SegmentEnd::Failed, stream, format!("{instead} cannot take over")).await
        }
        Ending::Closed(end, message) => close(&shared, id, token, end, stream, message).await,
    };
    if let Err(error) = noted {
        tracing::warn!(%error, stream = stream.name, "the end of a walk could not be noted; it goes on when its lease is over");
    }
    report(&shared, run).await;
    shared.ended.notify_one();
}

async fn close(
    shared: &Shared,
    id: i64,
    token: i64,
    end: SegmentEnd,
    stream: &streams::Stream,
    message: String,
) -> Result<(), StoreError> {
    tracing::warn!(stream = stream.name, end = end.name(), message, "a list was not read to its end");
    shared.failed(end.name());
    shared.store.close_segment(id, token, end, &message, shared.clock.now()).await.map(drop)
}

/// Lets go of a segment that nothing is wrong with; it may be claimed again after a while.
async fn rest(shared: &Shared, id: i64, token: i64, milliseconds: i64) -> Result<(), StoreError> {
    let until = later(shared.clock.now(), milliseconds);
    shared.store.renew_segments(&shared.options.holder, &[(id, token)], until).await.map(drop)
}

/// Says that a run is over, when it is.
async fn report(shared: &Shared, run: i64) {
    match shared.store.run(run).await {
        Ok(Some(run)) if run.trigger == RECONCILE => {
            tracing::debug!(run = run.id, object = run.object, "a kind was read")
        }
        Ok(Some(run)) if run.end.is_some() => tracing::info!(
            run = run.id,
            object = run.object,
            state = run.state(),
            objects = run.objects,
            requests = run.requests,
            message = run.message,
            "a run is over"
        ),
        Ok(_) => {}
        Err(error) => tracing::debug!(%error, run, "looking at a run failed"),
    }
}

fn pause_ms(first: u64, attempts: i32) -> i64 {
    let doubled = first.saturating_mul(1 << attempts.clamp(0, 16));
    i64::try_from(doubled.min(RETRY_LONGEST_MS)).unwrap_or(i64::MAX)
}

fn later(now: Timestamp, milliseconds: i64) -> Timestamp {
    now.saturating_add(SignedDuration::from_millis(milliseconds)).unwrap_or(Timestamp::MAX)
}
