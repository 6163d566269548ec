//! One execution of a function: what its context, steps and waits share.

use std::collections::{HashMap, HashSet};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;
use std::time::Duration;

use billhook_core::step::StepKey;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::error::Error;
use crate::exchange::{
    Journal, Memo, Mirror, Outcome, ParkReason, Record, Request, StepError, TransactionSession, Wait,
};

/// Most steps and waits of one run: each is a row and is read at every replay.
pub(crate) const STEPS_MAX: u32 = 1_000;

/// The longest sleep or wait.
pub(crate) const WAIT_LONGEST: SignedDuration = SignedDuration::from_hours(366 * 24);

/// Results that stand in for the bodies of steps, by id; for tests.
pub(crate) type Fakes = HashMap<String, Result<Value, StepError>>;

pub(crate) struct Execution {
    pub(crate) request: Request,
    journal: Arc<dyn Journal>,
    pub(crate) fakes: Arc<Fakes>,
    uses: Mutex<HashMap<String, u32>>,
    renames: Mutex<Renames>,
    waits: Mutex<Vec<Wait>>,
    /// Steps whose body runs or whose record is under way. While there is one, a pending function waits for the world and not
    /// for the engine.
    busy: AtomicUsize,
    ended: Mutex<Option<Outcome>>,
}

/// What became of keys whose steps were called otherwise before.
#[derive(Default)]
struct Renames {
    /// Ids that steps had before.
    former_ids: HashSet<String>,
    /// By the key under which a step is recorded: the one under which its effects count.
    effects: HashMap<StepKey, StepKey>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Counts as busy while it lives.
pub(crate) struct Busy<'a>(&'a AtomicUsize);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}

fn both_names(id: &str) -> Error {
    Error::terminal(format!("{id} is the id of a step and the former id of another one; they would share one record"))
}

impl Execution {
    pub(crate) fn new(request: Request, journal: Arc<dyn Journal>, fakes: Arc<Fakes>) -> Self {
        let (uses, renames, waits, busy, ended) = Default::default();
        Self { request, journal, fakes, uses, renames, waits, busy, ended }
    }

    /// The key of the next use of an id; `Err` when the id cannot be one, or when there are too many.
    pub(crate) fn key(&self, id: String) -> Result<StepKey, Error> {
        let mut uses = lock(&self.uses);
        if uses.values().sum::<u32>() >= STEPS_MAX {
            return Err(Error::terminal(format!("a run has at most {STEPS_MAX} steps and waits; start another one")));
        }
        let occurrence = uses.entry(id.clone()).or_default();
        *occurrence += 1;
        let key = StepKey::new(id, *occurrence);
        if lock(&self.renames).former_ids.contains(&key.id) {
            return Err(both_names(&key.id));
        }
        match key.defect() {
            Some(defect) => Err(Error::terminal(defect)),
            None => Ok(key),
        }
    }

    /// The key of a step that was called `former` before: the former one when something is recorded under it, and else its own.
    pub(crate) fn renamed(&self, key: Result<StepKey, Error>, former: String) -> Result<StepKey, Error> {
        let key = key?;
        if lock(&self.uses).contains_key(&former) {
            return Err(both_names(&former));
        }
        let before = StepKey::new(former, key.occurrence);
        let mut renames = lock(&self.renames);
        renames.former_ids.insert(before.id.clone());
        let recorded = if self.memo(&key).is_none() && self.memo(&before).is_some() { before.clone() } else { key };
        // Whoever died in the middle of the step may have had the former code.
        renames.effects.insert(recorded.clone(), before);
        Ok(recorded)
    }

    /// The key under which the effects of a step count once.
    pub(crate) fn idempotency_key(&self, key: &StepKey) -> String {
        lock(&self.renames).effects.get(key).unwrap_or(key).idempotency_key(&self.request.run)
    }

    /// What is recorded and was not come to. What the engine records for itself is no step: ids of steps do not begin with a space.
    fn passed_over(&self) -> Vec<StepKey> {
        let (uses, renames) = (lock(&self.uses), lock(&self.renames));
        let is_used = |key: &StepKey| uses.get(&key.id).is_some_and(|used| *used >= key.occurrence);
        let is_reached = |key: &StepKey| is_used(key) || renames.effects.contains_key(key);
        let mut keys: Vec<StepKey> =
            self.request.memos.keys().filter(|key| !key.id.starts_with(' ') && !is_reached(key)).cloned().collect();
        keys.sort();
        keys
    }

    /// Tells the journal what was not come to.
    pub(crate) fn tell_passed_over(&self) {
        let keys = self.passed_over();
        if !keys.is_empty() {
            self.journal.passed_over(keys);
        }
    }

    pub(crate) fn memo(&self, key: &StepKey) -> Option<&Memo> {
        self.request.memos.get(key)
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.request.clock.now()
    }

    /// Whether there is a function of this id.
    pub(crate) fn knows(&self, function: &str) -> bool {
        self.request.functions.iter().any(|known| known == function)
    }

    pub(crate) fn busy(&self) -> Busy<'_> {
        self.busy.fetch_add(1, Ordering::AcqRel);
        Busy(&self.busy)
    }

    /// Records, or ends the execution because the run is no longer this worker's.
    pub(crate) async fn record(&self, key: &StepKey, memo: Memo) {
        self.hand_in(Record::new(key.clone(), memo)).await;
    }

    /// Records with what goes with it, or ends the execution because the run is no longer this worker's.
    pub(crate) async fn hand_in(&self, record: Record) {
        if self.journal.record(record).await.is_err() {
            self.end(Outcome::Lost).await
        }
    }

    /// A transaction of the engine's database, if it has one.
    pub(crate) fn begin(&self, limit: Duration) -> Option<Arc<dyn TransactionSession>> {
        self.journal.begin(limit)
    }

    /// The mirror, if the engine has one.
    pub(crate) fn mirror(&self) -> Option<Arc<dyn Mirror>> {
        self.journal.mirror()
    }

    /// Waits for ever; the driver drops the function when nothing else can happen.
    pub(crate) async fn wait<T>(&self, key: &StepKey, memo: Memo, is_new: bool) -> T {
        self.wait_for(Wait { key: key.clone(), memo, is_new, invokes: None }).await
    }

    /// The same for a wait with what begins with it.
    pub(crate) async fn wait_for<T>(&self, wait: Wait) -> T {
        {
            let mut waits = lock(&self.waits);
            if !waits.iter().any(|other| other.key == wait.key) {
                waits.push(wait);
            }
        }
        std::future::pending().await
    }

    /// Ends the execution: the function is dropped where it stands.
    pub(crate) async fn end<T>(&self, outcome: Outcome) -> T {
        lock(&self.ended).get_or_insert(outcome);
        std::future::pending().await
    }

    pub(crate) async fn undecodable<T>(&self, key: &StepKey, why: impl std::fmt::Display) -> T {
        let message = format!("what is recorded for {key} is not what the function expects: {why}");
        self.end(Outcome::Parked(ParkReason::Undecodable, message)).await
    }

    /// Runs the function until it returns, waits for nothing but the engine, or has to stop. `Err` holds why it did not return.
    ///
    /// A suspended function is pending, has a wait, and none of its steps is busy: nothing could wake it but the engine.
    pub(crate) async fn drive<T>(&self, function: impl Future<Output = T>) -> Result<T, Outcome> {
        let mut function = pin!(function);
        poll_fn(|context| {
            if let Poll::Ready(value) = function.as_mut().poll(context) {
                return Poll::Ready(Ok(value));
            }
            if let Some(outcome) = lock(&self.ended).take() {
                return Poll::Ready(Err(outcome));
            }
            let mut waits = lock(&self.waits);
            if self.busy.load(Ordering::Acquire) == 0 && !waits.is_empty() {
                return Poll::Ready(Err(Outcome::Suspended(std::mem::take(&mut *waits))));
            }
            Poll::Pending
        })
        .await
    }
}
