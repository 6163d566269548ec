//! Runs a function in memory: its steps may be faked, its clock moves by itself, and it can be crashed after every step.
//!
//! ```
//! use billhook_flow::{Ctx, Event, Result, days, function, testing::Trial};
//! # use serde_json::json;
//!
//! async fn remind(event: Event, ctx: Ctx<()>) -> Result<String> {
//!     ctx.sleep("a week", days(7)).await;
//!     ctx.step("mail", || async { Err::<String, _>(std::io::Error::other("no mail server in a test")) }).await
//! }
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() {
//! let remind = function("remind", remind).on("stripe/invoice.payment_failed");
//! let end = Trial::new(&remind, (), json!({})).fake("mail", json!("sent")).run().await;
//! assert_eq!(end.result, Ok(json!("sent")));
//! assert_eq!(end.took, days(7));
//! # }
//! ```

use std::collections::{BTreeMap, HashMap};
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use billhook_core::step::StepKey;
use billhook_core::{Clock, ManualClock};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::event::Event;
use crate::exchange::{Journal, Lost, Memo, Outcome, Record, Request, StepError, Wait};
use crate::execution::Fakes;
use crate::expression::{Expression, Scope};
use crate::function::Function;
use crate::names::Aliases;

/// Executions of one trial: a function that waits more often goes round in circles.
const EXECUTIONS_MAX: usize = 10_000;

/// Unix seconds at which trials begin.
const START: i64 = 1_800_000_000;

/// The run's id in trials.
const RUN: &str = "01M7WSG4S1000G40R40M30E20A";

/// A run of a function in memory.
pub struct Trial<App> {
    function: Function<App>,
    app: Arc<App>,
    event: Event,
    batch: Vec<Event>,
    fakes: Fakes,
    coming: Vec<(SignedDuration, Event)>,
}

/// How a trial ended.
#[derive(Debug, Clone, PartialEq)]
pub struct End {
    /// What the function returned, or what it failed with or was parked for.
    pub result: Result<Value, String>,
    /// What is recorded of its steps and waits, by id (`charge`, `charge#2`).
    pub memos: BTreeMap<String, Memo>,
    /// How long it took by its clock: its sleeps and the pauses between attempts.
    pub took: SignedDuration,
    /// The events that it sent.
    pub sent: Vec<Event>,
}

impl<App: Send + Sync + 'static> Trial<App> {
    /// A run of `function` that an event with this data starts.
    pub fn new(function: &Function<App>, app: App, data: Value) -> Self {
        let name = function.triggers().next().map_or_else(|| "trial".to_owned(), str::to_owned);
        let event = Event::new("evt_trial", name, data, start());
        let (batch, fakes, coming) = Default::default();
        Self { function: function.clone(), app: Arc::new(app), event, batch, fakes, coming }
    }

    /// One more event of the batch, behind the one that the trial began with.
    #[must_use]
    pub fn also(mut self, data: Value) -> Self {
        if self.batch.is_empty() {
            self.batch.push(self.event.clone());
        }
        let id = format!("evt_trial_batch_{}", self.batch.len() + 1);
        self.batch.push(Event::new(id, self.event.name.clone(), data, start()));
        self
    }

    /// The step of this id is not run and has this result. Every `tx_step` and every `invoke` needs one: a trial has no database and no
    /// other functions.
    #[must_use]
    pub fn fake(mut self, id: impl Into<String>, result: Value) -> Self {
        self.fakes.insert(id.into(), Ok(result));
        self
    }

    /// The step of this id is not run and fails for good.
    #[must_use]
    pub fn fail(mut self, id: impl Into<String>, message: impl Into<String>) -> Self {
        self.fakes.insert(id.into(), Err(StepError { message: message.into() }));
        self
    }

    /// So long after the run began an event comes, which waits for its name take if it is what they look for.
    #[must_use]
    pub fn event(mut self, after: SignedDuration, name: impl Into<String>, data: Value) -> Self {
        let ts = start().saturating_add(after).unwrap_or(Timestamp::MAX);
        let event = Event::new(format!("evt_trial_{}", self.coming.len() + 1), name, data, ts);
        self.coming.push((after, event));
        self
    }

    /// Runs to the end. Sleeps take no time.
    pub async fn run(&self) -> End {
        self.with_crash(None).await.0
    }

    /// Runs to the end again and again, crashing at every record in turn, once just before it is durable and once just after, and
    /// compares every end with that of an undisturbed run. Bodies of steps run more often than once in it, as in a real crash.
    ///
    /// # Errors
    /// The first end that differs, and where the run had crashed.
    pub async fn survives_crashes(&self) -> Result<usize, String> {
        let (expected, records) = self.with_crash(None).await;
        for at in 0..records {
            for durable in [false, true] {
                let (end, _) = self.with_crash(Some(Crash { at, durable })).await;
                if (&end.result, &end.memos) != (&expected.result, &expected.memos) {
                    let when = if durable { "after" } else { "before" };
                    return Err(format!("a crash {when} record {at} ended in {end:?} instead of {expected:?}"));
                }
            }
        }
        Ok(records)
    }

    async fn with_crash(&self, mut crash: Option<Crash>) -> (End, usize) {
        let clock = Arc::new(ManualClock::new(start()));
        let mut memos: HashMap<StepKey, Memo> = HashMap::new();
        let (mut failures, mut records, mut sent) = (0, 0, Vec::new());
        let fakes = Arc::new(self.fakes.clone());
        let mut result = Err(format!("it did not end within {EXECUTIONS_MAX} executions"));
        for _ in 0..EXECUTIONS_MAX {
            let journal = Arc::new(Memory { written: Mutex::default(), before: records, crash });
            let request = Request {
                run: RUN.to_owned(),
                event: self.event.clone(),
                batch: self.batch.clone(),
                memos: Arc::new(memos.clone()),
                failures,
                clock: Arc::clone(&clock) as Arc<dyn Clock>,
                chance: 0,
                functions: Arc::default(),
            };
            let (app, fakes) = (Arc::clone(&self.app), Arc::clone(&fakes));
            let outcome =
                self.function.execute_with(app, request, Arc::clone(&journal) as Arc<dyn Journal>, fakes).await;
            let written = std::mem::take(&mut *journal.written.lock().unwrap_or_else(PoisonError::into_inner));
            records += written.len();
            for record in written {
                sent.extend(record.sends.into_iter().map(|sent| sent.event));
                memos.insert(record.key, record.memo);
            }
            match outcome {
                Outcome::Finished(value) => result = Ok(value),
                Outcome::Failed(error) => result = Err(error.message),
                Outcome::Parked(reason, message) => result = Err(format!("parked ({reason:?}): {message}")),
                Outcome::Retry { at, .. } => {
                    failures += 1;
                    advance(&clock, at);
                    continue;
                }
                Outcome::Suspended(waits) => {
                    self.wake(&clock, &mut memos, waits);
                    continue;
                }
                // The crash happens once; the run goes on with what is durable.
                Outcome::Lost => {
                    crash = None;
                    continue;
                }
            }
            break;
        }
        let took = clock.now().duration_since(start());
        let memos = memos.into_iter().map(|(key, memo)| (key.to_string(), memo)).collect();
        (End { result, memos, took, sent }, records)
    }

    /// Moves the clock to what comes first: an event that is waited for, or the end of a wait.
    fn wake(&self, clock: &ManualClock, memos: &mut HashMap<StepKey, Memo>, waits: Vec<Wait>) {
        let end = waits.iter().map(Wait::until).min().unwrap_or(Timestamp::MAX);
        let come = waits.iter().filter_map(|wait| Some((wait, self.first_event(wait)?)));
        let first = come.min_by_key(|(_, event)| event.ts).filter(|(_, event)| event.ts <= end);
        match first {
            Some((wait, event)) => {
                memos.insert(wait.key.clone(), Memo::Came(Some(event.clone())));
                advance(clock, event.ts);
            }
            None => advance(clock, end),
        }
        for wait in waits {
            let is_over = matches!(&wait.memo, Memo::Event { until, .. } if *until <= clock.now());
            let memo = if is_over { Memo::Came(None) } else { wait.memo };
            memos.entry(wait.key).or_insert(memo);
        }
        for memo in memos.values_mut() {
            if matches!(memo, Memo::Event { until, .. } if *until <= clock.now()) {
                *memo = Memo::Came(None);
            }
        }
    }

    fn first_event(&self, wait: &Wait) -> Option<&Event> {
        let Memo::Event { name, matching, .. } = &wait.memo else { return None };
        let trigger = shown(&self.event);
        let is_meant = |event: &&Event| {
            let other = shown(event);
            let scope = Scope { event: &trigger, other: Some(&other), now: event.ts };
            let matches = || Expression::parse(matching).is_ok_and(|expression| expression.is_true(&scope));
            is_called(event, name) && (matching.is_empty() || matches())
        };
        self.coming.iter().map(|(_, event)| event).filter(is_meant).min_by_key(|event| event.ts)
    }
}

/// Whether an event has this name, its own or a friendly one.
fn is_called(event: &Event, name: &str) -> bool {
    event.name == name || Aliases::default().types_of(name).iter().any(|of| event.name == format!("stripe/{of}"))
}

/// An event as expressions see it.
fn shown(event: &Event) -> Value {
    json!({ "id": event.id, "name": event.name, "data": event.data, "ts": event.ts.as_millisecond() })
}

fn start() -> Timestamp {
    Timestamp::from_second(START).unwrap_or(Timestamp::UNIX_EPOCH)
}

fn advance(clock: &ManualClock, to: Timestamp) {
    clock.advance(to.duration_since(clock.now()).max(SignedDuration::ZERO));
}

/// The record at which the process is gone.
#[derive(Debug, Clone, Copy)]
struct Crash {
    at: usize,
    /// Whether the record was durable already.
    durable: bool,
}

struct Memory {
    written: Mutex<Vec<Record>>,
    /// Records of earlier executions.
    before: usize,
    crash: Option<Crash>,
}

impl Journal for Memory {
    fn record(&self, record: Record) -> Pin<Box<dyn Future<Output = Result<(), Lost>> + Send + '_>> {
        let mut written = self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let crashes = self.crash.filter(|crash| crash.at == self.before + written.len());
        if crashes.is_none_or(|crash| crash.durable) {
            written.push(record);
        }
        let result = if crashes.is_some() { Err(Lost) } else { Ok(()) };
        Box::pin(std::future::ready(result))
    }
}
