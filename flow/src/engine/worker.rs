//! Executes claimed runs on threads of their own: the futures of functions stay on the thread on which they were made.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use billhook_core::chance::chance;
use billhook_core::run::{RunInput, RunState};
use billhook_core::step::StepKey;
use billhook_core::{Clock, failpoint};
use billhook_store::{
    ClaimedRun, FlowEvent, FlowWait, Publication, RunCommit, RunNext, StepRecord, Store, StoreError, WaitKind,
};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::sync::{Notify, mpsc};
use tokio::task::LocalSet;

use super::EngineOptions;
use super::committer::Committer;
use super::ends::{self, Ended};
use super::enrich::{Enrich, EnrichError};
use super::held::Held;
use super::lookback::{Back, ReadDelivery};
use super::migration::Change;
use super::route::{self, Publish, Source};
use super::session::Sessions;
use crate::error::Error;
use crate::event::Event;
use crate::exchange::{
    Invocation, Journal, Lost, Memo, Mirror, Outcome, Progress, Record, Request, Sent, TransactionSession, Wait,
};
use crate::expression::Expression;
use crate::function::Function;
use crate::names::{APPLIED, Aliases, FINISHED, INVOKED, SIGNAL};
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
pub(super) struct Bench<App> {
    pub(super) functions: Arc<Functions<App>>,
    pub(super) ids: Arc<[String]>,
    pub(super) app: Arc<App>,
    pub(super) store: Store,
    pub(super) committer: Committer,
    pub(super) sessions: Sessions,
    pub(super) held: Arc<Held>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) wake: Arc<Notify>,
    pub(super) read_delivery: Option<ReadDelivery>,
    pub(super) mirror: Option<Arc<dyn Mirror>>,
    pub(super) aliases: Aliases,
    pub(super) enrich: Option<Arc<dyn Enrich>>,
}

/// Workers that may die with a run among many others. Any of them may be the reason, and mostly none is: a deploy kills as well. From then
/// on the run is a suspect until it gets on; each run that gets on counts anew.
pub(super) const CRASHES_IN_COMPANY: u32 = 2;

/// Suspects that are executed at the same time. When a worker dies with these too, they are executed one by one.
pub(super) const SUSPECTS_MAX: usize = 16;

/// Workers that may die with a run before it is set aside: two among many, one among a few suspects, and two with it as the only suspect,
/// since a kill from outside may hit once whoever happens to be alone.
const CRASHES_MAX: u32 = CRASHES_IN_COMPANY + 3;

/// How long a run rests when the database did not answer a question of its own, in seconds.
const REST_SECONDS: i64 = 5;

/// What is logged when a look at earlier events failed.
const NOT_LOOKED: &str = "earlier events could not be looked for";

/// First and longest pause while the database does not answer a look back, in milliseconds.
const LOOK_BACK_MS: (u64, u64) = (20, 2_000);

impl Workers {
    pub(super) fn start<App: Send + Sync + 'static>(options: &EngineOptions, bench: Bench<App>) -> Self {
        let bench = Arc::new(bench);
        let threads = match options.threads {
            0 => vec![here(bench)],
            count => (0..count).filter_map(|number| thread(number, Arc::clone(&bench))).collect(),
        };
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
    let (sender, runs) = mpsc::unbounded_channel();
    let body = move || {
        let runtime = match tokio::runtime::Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime,
            Err(error) => return tracing::error!(%error, "functions cannot be executed: a thread has no runtime"),
        };
        runtime.block_on(work(bench, runs));
    };
    match std::thread::Builder::new().name(format!("{THREAD}{number}")).spawn(body) {
        Ok(_detached) => Some(sender),
        Err(error) => {
            tracing::error!(%error, "functions cannot be executed: there is no thread for them");
            None
        }
    }
}

/// Without a thread of its own.
fn here<App: Send + Sync + 'static>(bench: Arc<Bench<App>>) -> mpsc::UnboundedSender<ClaimedRun> {
    let (sender, runs) = mpsc::unbounded_channel();
    tokio::task::spawn_local(work(bench, runs));
    sender
}

/// Executes what it is given until the sender is dropped; what has not ended then is dropped as well.
async fn work<App: Send + Sync + 'static>(bench: Arc<Bench<App>>, mut runs: mpsc::UnboundedReceiver<ClaimedRun>) {
    let execute_all = async move {
        while let Some(run) = runs.recv().await {
            tokio::task::spawn_local(execute(Arc::clone(&bench), run));
        }
    };
    LocalSet::new().run_until(execute_all).await;
}

/// Executes a run and records where it goes.
async fn execute<App: Send + Sync + 'static>(bench: Arc<Bench<App>>, claimed: ClaimedRun) {
    let (run, token, failures) = (claimed.id.clone(), claimed.token, claimed.failures);
    let (function, version, event) = (claimed.function.clone(), claimed.version.clone(), claimed.event.clone());
    // A task of its own, so that a function that panics fails its run and nothing else.
    let executed = tokio::task::spawn_local(turn(Arc::clone(&bench), claimed)).await;
    let (next, records) = match executed {
        Ok(Some((next, records))) => (Some(next), records),
        Ok(None) => (None, Vec::new()),
        Err(ended) if ended.is_panic() => {
            let error = Error::usual(format!("the function panicked: {}", panic_message(&*ended.into_panic())));
            let next = bench.functions.executes(&function, version.as_deref()).and_then(|function| {
                let now = bench.clock.now();
                said(function.failed(&error, failures, now, chance()), failures)
            });
            (next, Vec::new())
        }
        // The thread ends.
        Err(_) => return,
    };
    let rests = next.as_ref().is_some_and(|next| next.state == RunState::Waiting);
    let tells = next.as_ref().is_some_and(|next| next.state == RunState::Failed) || event.name == INVOKED;
    if let Some(next) = next {
        let ended = Ended { run: &run, function: &function, event: &event, token };
        let publications = ended.told(&bench.functions, &next, bench.clock.now());
        let commit = RunCommit { records, publications, next: Some(next), ..RunCommit::new(run.clone(), token) };
        // Lost: somebody else records its end.
        let _ = bench.committer.commit(commit).await;
    }
    bench.held.remove(&run, token);
    if rests || tells {
        // What it waits for may have come meanwhile, and its end may have started or woken another one.
        bench.wake.notify_one();
    }
}

/// Where a run goes, and what is recorded with it.
type End = (RunNext, Vec<StepRecord>);

/// One turn of a run: what is recorded goes in, and where the run goes comes out; nothing when it is somebody else's.
async fn turn<App: Send + Sync + 'static>(bench: Arc<Bench<App>>, claimed: ClaimedRun) -> Option<End> {
    let function = bench.functions.executes(&claimed.function, claimed.version.as_deref())?;
    let failures = claimed.failures;
    if claimed.crashes >= CRASHES_MAX {
        let message = format!("{} workers died while they executed it; see their logs, then retry it", claimed.crashes);
        return Some((parked(failures, message), Vec::new()));
    }
    match claimed.read() {
        Ok((events, memos)) => {
            let turn = Turn { bench: &bench, function, claimed: &claimed };
            turn.run(events, memos).await.unwrap_or_else(|error| Some((rest(&bench, failures, &error), Vec::new())))
        }
        Err(message) => Some((parked(failures, message), Vec::new())),
    }
}

/// Completed data of an event.
enum Enriched {
    /// It was recorded before.
    Before(Value),
    /// It is recorded with the first thing that the run does.
    Now(Value),
}

/// Where the completed data of the run's nth event is recorded. No step has this key: ids of steps do not begin with a space.
fn enriched_key(number: u32) -> StepKey {
    StepKey::new(" event", number)
}

struct Turn<'a, App> {
    bench: &'a Arc<Bench<App>>,
    function: &'a Function<App>,
    claimed: &'a ClaimedRun,
}

impl<App: Send + Sync + 'static> Turn<'_, App> {
    async fn run(&self, mut events: Vec<Event>, memos: Memos) -> Result<Option<End>, StoreError> {
        let Self { bench, function, claimed } = self;
        // Whoever died with this run, or gave it back, may have done so before it looked.
        if (claimed.is_first || claimed.crashes > 0) && !function.cancels().is_empty() {
            let names = || function.cancels().iter().map(|cancel| cancel.event.as_str());
            if self.insist(NOT_LOOKED, async || self.back().cancels(names()).await).await != Some(false) {
                return Ok(None);
            }
        }
        let journal = Arc::new(Recorder::new(Arc::clone(bench), claimed));
        for (event, number) in events.iter_mut().zip(1..) {
            let key = enriched_key(number);
            match self.enriched(event, &key, &memos).await {
                Ok(Some(Enriched::Before(data))) => event.data = data,
                Ok(Some(Enriched::Now(data))) => {
                    journal.keep(record(&key, &Memo::Done(data.clone())));
                    event.data = data;
                }
                Ok(None) => {}
                Err(error) => return Ok(Some((rest(bench, claimed.failures, &error), Vec::new()))),
            }
        }
        let batch = if claimed.batch.is_empty() { Vec::new() } else { events.clone() };
        let Some(event) = events.into_iter().next() else {
            return Ok(Some((parked(claimed.failures, "no event of it is there".to_owned()), Vec::new())));
        };
        let memos = Arc::new(memos);
        let change = Change::read(&bench.store, claimed, &memos, function).await?;
        change.first().into_iter().for_each(|record| journal.keep(record));
        let request = Request {
            run: claimed.id.clone(),
            event,
            batch,
            memos: Arc::clone(&memos),
            failures: claimed.failures,
            clock: Arc::clone(&bench.clock),
            chance: chance(),
            functions: Arc::clone(&bench.ids),
        };
        let outcome = function.execute(Arc::clone(&bench.app), request, Arc::clone(&journal) as Arc<dyn Journal>).await;
        let (outcome, records) = change.judge(outcome, &journal.not_reached());
        if let Outcome::Suspended(waits) = &outcome
            && !self.settle(&journal, waits, &memos).await?
        {
            return Ok(None);
        }
        Ok(said(outcome, claimed.failures).map(|next| (next, records)))
    }

    /// The completed data of an event of the run: as it was recorded, or new.
    async fn enriched(&self, event: &Event, key: &StepKey, memos: &Memos) -> Result<Option<Enriched>, EnrichError> {
        if let Some(Memo::Done(data)) = memos.get(key) {
            return Ok(Some(Enriched::Before(data.clone())));
        }
        match &self.bench.enrich {
            Some(enrich) => Ok(enrich.enrich(event).await?.map(Enriched::Now)),
            None => Ok(None),
        }
    }

    /// Records new waits, and looks for events that came before them; false when the run is somebody else's.
    async fn settle(&self, journal: &Recorder<App>, waits: &[Wait], memos: &Memos) -> Result<bool, StoreError> {
        let new: Vec<&Wait> = waits.iter().filter(|wait| wait.is_new).collect();
        let mut commit = journal.commit();
        commit.records.extend(new.iter().map(|wait| record(&wait.key, &wait.memo)));
        commit.waits = new.iter().filter_map(|wait| self.wait(wait)).collect();
        commit.publications = new.iter().filter_map(|wait| self.invoked(wait.invokes.as_ref()?)).collect();
        if !commit.records.is_empty() && self.bench.committer.commit(commit).await.is_err() {
            return Ok(false);
        }
        // Whoever died with this run may have died before it looked back.
        let has_to_look = |wait: &&Wait| wait.is_new || self.claimed.crashes > 0;
        let name = |wait: &Wait| match &wait.memo {
            Memo::Event { name, .. } => Some(name.clone()),
            _ => None,
        };
        let names: Vec<String> = waits.iter().filter(has_to_look).filter_map(name).collect();
        if !names.is_empty() {
            failpoint::hit("after_wait_registered");
            let came = memos.values().filter_map(|memo| match memo {
                Memo::Came(Some(event)) => Some(event.id.clone()),
                _ => None,
            });
            let consumed: HashSet<String> = came.collect();
            let look = async || self.back().events(&names, &consumed).await;
            let has_looked = self.insist(NOT_LOOKED, look).await.is_some();
            return Ok(has_looked && self.tell_of_the_past(waits).await);
        }
        Ok(true)
    }

    /// Ends waits whose end is no event that could be looked back for: for runs that were not started, and for what the mirror has
    /// applied. False when the run is somebody else's.
    async fn tell_of_the_past(&self, waits: &[Wait]) -> bool {
        for wait in waits.iter().filter_map(|wait| self.wait(wait)) {
            let told = match wait.name.as_str() {
                FINISHED => {
                    let told = async || self.tell_not_started(&wait).await;
                    self.insist("whether a run was started is not known", told).await.is_some()
                }
                APPLIED => {
                    let told = async || self.tell_applied(&wait).await;
                    self.insist("whether an event is applied is not known", told).await.is_some()
                }
                _ => true,
            };
            if !told {
                return false;
            }
        }
        true
    }

    /// Ends a wait for a run that this one invoked and that was not started.
    async fn tell_not_started(&self, wait: &FlowWait) -> Result<(), StoreError> {
        let (store, now) = (&self.bench.store, self.bench.clock.now());
        if store.flow_run(&wait.value).await?.is_some() {
            return Ok(());
        }
        let told = ends::not_started(&self.bench.functions, &wait.value, now);
        store.transact(Publish::one(told, now)).await.map(drop)
    }

    /// Ends a wait for an event that the mirror had applied before the wait was there.
    async fn tell_applied(&self, wait: &FlowWait) -> Result<(), Error> {
        let Some(mirror) = &self.bench.mirror else { return Ok(()) };
        if mirror.progress(&wait.value).await? == Progress::Applied {
            let now = self.bench.clock.now();
            self.bench.store.transact(Publish::one(route::applied(&wait.value, now), now)).await?;
        }
        Ok(())
    }

    /// Tries until the database answers: nobody would do it later. `None` when the run is somebody else's.
    async fn insist<T, E: fmt::Display>(&self, failure: &str, attempt: impl AsyncFn() -> Result<T, E>) -> Option<T> {
        let mut pause_ms = LOOK_BACK_MS.0;
        loop {
            match attempt().await {
                Ok(found) => return Some(found),
                Err(error) => tracing::warn!(%error, run = self.claimed.id, "{failure}; trying again"),
            }
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
            pause_ms = (pause_ms * 2).min(LOOK_BACK_MS.1);
            if !self.bench.held.is_held(&self.claimed.id, self.claimed.token) {
                return None;
            }
        }
    }

    /// The run that a wait invokes. One of a function that nobody knows fails the wait at once, as its own failure would.
    fn invoked(&self, invocation: &Invocation) -> Option<Publication> {
        let now = self.bench.clock.now();
        let Invocation { run, function, data } = invocation;
        let event = Event::new(run.clone(), INVOKED, data.clone(), now);
        let function = self.bench.functions.get(function)?;
        let mut publication = route::addressed(function, self.bench.functions.lanes(), &event, now);
        for started in &mut publication.runs {
            started.id.clone_from(run);
            started.cancels.iter_mut().for_each(|wait| wait.run.clone_from(run));
            // Somebody waits for the end of this very run: it joins no other one.
            started.control.gather = None;
        }
        Some(publication)
    }

    /// What the store has to know of a wait for an event.
    fn wait(&self, wait: &Wait) -> Option<FlowWait> {
        let Memo::Event { name, matching, until } = &wait.memo else { return None };
        let condition = Some(matching).filter(|matching| !matching.is_empty());
        let condition = condition.and_then(|matching| Expression::parse(matching).ok());
        let (run, key) = (&self.claimed.id, wait.key.clone());
        let trigger = route::shown(&self.claimed.event);
        let wait = route::wait(run, WaitKind::Event, key, name, condition.as_ref(), &trigger, self.bench.clock.now());
        Some(FlowWait { until: Some(*until), ..wait })
    }

    fn back(&self) -> Back<'_> {
        let Bench { store, read_delivery, aliases, clock, .. } = &**self.bench;
        Back { store, read_delivery: *read_delivery, aliases, run: self.claimed, now: clock.now() }
    }
}

fn panic_message(payload: &(dyn std::any::Any + Send)) -> &str {
    let text = payload.downcast_ref::<&str>().copied();
    text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}

pub(super) type Memos = HashMap<StepKey, Memo>;

/// A claimed run, readable; what is not parks it.
trait Read {
    fn read(&self) -> Result<(Vec<Event>, Memos), String>;
}

impl Read for ClaimedRun {
    fn read(&self) -> Result<(Vec<Event>, Memos), String> {
        let event = |event: &FlowEvent| match serde_json::from_str(&event.data) {
            Ok(data) => Ok(Event { id: event.id.clone(), name: event.name.clone(), data, ts: event.ts }),
            Err(error) => Err(format!("the event {} cannot be read: {error}", event.id)),
        };
        let events = if self.batch.is_empty() { std::slice::from_ref(&self.event) } else { &self.batch };
        let events = events.iter().map(event).collect::<Result<Vec<Event>, String>>()?;
        let memo = |(key, text): &(StepKey, String)| match serde_json::from_str(text) {
            Ok(memo) => Ok((key.clone(), memo)),
            Err(error) => Err(format!("what is recorded for {key} cannot be read: {error}")),
        };
        Ok((events, self.memos.iter().map(memo).collect::<Result<Memos, String>>()?))
    }
}

/// The run is tried again soon, because something that it needs did not answer.
fn rest<App>(bench: &Bench<App>, failures: u32, error: &dyn std::error::Error) -> RunNext {
    tracing::warn!(%error, "a run could not be executed; it is tried again");
    let due_at = bench.clock.now().saturating_add(SignedDuration::from_secs(REST_SECONDS)).unwrap_or(Timestamp::MAX);
    let (state, message) = (after(RunInput::Suspend), Some(storable(error.to_string())));
    RunNext { state, due_at: Some(due_at), failures, result: None, message }
}

fn parked(failures: u32, message: String) -> RunNext {
    RunNext { state: after(RunInput::Park), due_at: None, failures, result: None, message: Some(storable(message)) }
}

/// The state of a run that is executed after an input. All inputs of this file are legal then; one that were not would park the run.
fn after(input: RunInput) -> RunState {
    RunState::Running.after(input).unwrap_or(RunState::Parked)
}

/// Where a run goes after an outcome; nothing when it is somebody else's.
fn said(outcome: Outcome, failures: u32) -> Option<RunNext> {
    let next = |input, due_at| RunNext { state: after(input), due_at, failures, result: None, message: None };
    Some(match outcome {
        Outcome::Finished(value) => RunNext { result: Some(value.to_string()), ..next(RunInput::Finish, None) },
        Outcome::Failed(error) => RunNext { message: Some(storable(error.message)), ..next(RunInput::Fail, None) },
        Outcome::Retry { at, error } => {
            let message = Some(storable(error.message));
            RunNext { failures: failures + 1, message, ..next(RunInput::Suspend, Some(at)) }
        }
        Outcome::Suspended(waits) => next(RunInput::Suspend, waits.iter().map(Wait::until).min()),
        Outcome::Parked(_, message) => parked(failures, message),
        Outcome::Lost => return None,
    })
}

pub(super) fn record(key: &StepKey, memo: &Memo) -> StepRecord {
    let is_final = matches!(memo, Memo::Done(_) | Memo::Failed(_) | Memo::Came(_));
    // A memo is made of strings, numbers and JSON, so it always has a text.
    StepRecord { key: key.clone(), memo: serde_json::to_string(memo).unwrap_or_default(), is_final }
}

/// PostgreSQL's text holds every character but NUL.
fn storable(message: String) -> String {
    message.replace('\0', "\u{fffd}")
}

struct Recorder<App> {
    bench: Arc<Bench<App>>,
    run: String,
    token: i64,
    /// Workers died with the run before; the first record says that it got further.
    has_crashed: AtomicBool,
    /// What is recorded together with whatever comes first.
    kept: Mutex<Vec<StepRecord>>,
    /// What the function did not come to, when it has been executed.
    passed_over: Mutex<Vec<StepKey>>,
}

impl<App> Recorder<App> {
    fn new(bench: Arc<Bench<App>>, claimed: &ClaimedRun) -> Self {
        let has_crashed = AtomicBool::new(claimed.crashes > 0);
        Self {
            bench,
            run: claimed.id.clone(),
            token: claimed.token,
            has_crashed,
            kept: Mutex::default(),
            passed_over: Mutex::default(),
        }
    }

    fn keep(&self, record: StepRecord) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).push(record);
    }

    fn not_reached(&self) -> Vec<StepKey> {
        self.passed_over.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn commit(&self) -> RunCommit {
        let got_on = self.has_crashed.swap(false, Ordering::Relaxed);
        let records = std::mem::take(&mut *self.kept.lock().unwrap_or_else(PoisonError::into_inner));
        RunCommit { records, got_on, ..RunCommit::new(self.run.clone(), self.token) }
    }
}

impl<App: Send + Sync> Journal for Recorder<App> {
    fn record(&self, what: Record) -> Pin<Box<dyn Future<Output = Result<(), Lost>> + Send + '_>> {
        Box::pin(async move {
            if !self.bench.held.is_held(&self.run, self.token) {
                return Err(Lost);
            }
            failpoint::hit("after_step_effect");
            let now = self.bench.clock.now();
            let publication = |sent: &Sent| {
                if sent.event.name == SIGNAL {
                    return route::sent_signal(&sent.event);
                }
                let names = [sent.event.name.clone()];
                let publication = route::publication(&self.bench.functions, &sent.event, Source::User, &names, now);
                publication.replacing(sent.schedule_key.clone())
            };
            let publications: Vec<Publication> = what.sends.iter().map(publication).collect();
            let has_sent = !publications.is_empty();
            let mut commit = RunCommit { publications, ..self.commit() };
            commit.records.push(record(&what.key, &what.memo));
            self.bench.committer.commit(commit).await?;
            let was_suspect = self.bench.held.got_on(&self.run, self.token);
            if has_sent || was_suspect {
                self.bench.wake.notify_one();
            }
            Ok(())
        })
    }

    fn mirror(&self) -> Option<Arc<dyn Mirror>> {
        self.bench.mirror.clone()
    }

    fn passed_over(&self, keys: Vec<StepKey>) {
        *self.passed_over.lock().unwrap_or_else(PoisonError::into_inner) = keys;
    }

    fn begin(&self, limit: Duration) -> Option<Arc<dyn TransactionSession>> {
        // It stays for later as well: this transaction may not come to its end.
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone();
        Some(self.bench.sessions.begin(&self.run, self.token, kept, &self.bench.held, limit))
    }
}
