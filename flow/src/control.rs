//! Flow control: how many runs of a function are executed at once, how fast they start, and which events share one.

use std::fmt::Display;

use billhook_store::{Control, GATES_MAX, Gate, Gather, GatherKind, Pace, Singleton, SingletonMode};
use jiff::SignedDuration;
use ring::digest::{SHA256, digest};

use crate::expression::{Expression, Scope};
use crate::function::Function;
use crate::lanes::{self, Lanes};

/// The longest period of a limit: its state has to be kept as long.
const PERIOD_LONGEST: SignedDuration = SignedDuration::from_hours(366 * 24);

/// Most events of a batch: all of them are in memory at once.
const BATCH_MAX: u32 = 1_000;

/// Most bytes of an expression that names a gate as it is; a longer one does so by its hash.
const NAME_BYTES_MAX: usize = 256;

/// What was declared.
#[derive(Debug, Clone, Default)]
pub(crate) struct Controls {
    concurrency: Vec<Concurrency>,
    throttle: Option<PerPeriod>,
    rate_limit: Option<PerPeriod>,
    debounce: Option<Debounce>,
    batch: Option<Batch>,
    singleton: Option<Alone>,
    priority: Option<Expression>,
    last: Option<Declared>,
}

/// Which limit was declared last: what `by`, `shared` and `at_most` are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Declared {
    Concurrency,
    Throttle,
    RateLimit,
    Debounce,
    Batch,
    Singleton,
}

#[derive(Debug, Clone)]
struct Concurrency {
    places: u32,
    key: Option<Expression>,
    is_shared: bool,
}

#[derive(Debug, Clone)]
struct PerPeriod {
    starts: u32,
    period: SignedDuration,
    key: Option<Expression>,
}

#[derive(Debug, Clone)]
struct Debounce {
    period: SignedDuration,
    longest: Option<SignedDuration>,
    key: Option<Expression>,
}

#[derive(Debug, Clone)]
struct Batch {
    events_max: u32,
    timeout: SignedDuration,
    key: Option<Expression>,
}

#[derive(Debug, Clone)]
struct Alone {
    mode: SingletonMode,
    key: Option<Expression>,
}

/// Limits. Keys are expressions over `event`, evaluated once, when it comes; [`Function::by`] gives the limit declared last its key. A key
/// that is `false`, or that cannot be evaluated, limits nothing.
impl<App> Function<App> {
    /// Executes at most so many runs at the same time; others wait, also those that have slept. What sleeps or waits does not count.
    /// At most two of these, for example one for the function and one for each customer.
    ///
    /// ```
    /// # use billhook_flow::{Ctx, Event, Result, function};
    /// # async fn sync(_: Event, _: Ctx<()>) -> Result<()> { Ok(()) }
    /// let function = function("sync", sync).on("stripe/customer.*").concurrency(20).concurrency(1).by("event.data.id");
    /// ```
    #[must_use]
    pub fn concurrency(mut self, runs: u32) -> Self {
        self.check_at_least_one("concurrency", runs);
        self.controls.concurrency.push(Concurrency { places: runs, key: None, is_shared: false });
        if self.controls.concurrency.len() > GATES_MAX {
            self.defects.push(format!("a function has at most {GATES_MAX} limits of concurrency; remove one"));
        }
        self.declared(Declared::Concurrency)
    }

    /// The limit of concurrency declared last counts the runs of all functions that declare the same key as shared.
    #[must_use]
    pub fn shared(mut self) -> Self {
        match (self.controls.last, self.controls.concurrency.last_mut()) {
            (Some(Declared::Concurrency), Some(last)) => last.is_shared = true,
            _ => self.defects.push("shared stands behind no .concurrency(…); it belongs after one".to_owned()),
        }
        self
    }

    /// Starts at most so many runs in any period, evenly spread: the others start later.
    #[must_use]
    pub fn throttle(mut self, starts: u32, period: SignedDuration) -> Self {
        self.check_at_least_one("throttle", starts);
        self.check_period("throttle", period);
        self.controls.throttle = Some(PerPeriod { starts, period, key: None });
        self.declared(Declared::Throttle)
    }

    /// Starts no run for events beyond so many in a period: after a quiet time so many at once, and then one each time its share of the
    /// period is over. Events that start nothing are counted and noted.
    #[must_use]
    pub fn rate_limit(mut self, starts: u32, period: SignedDuration) -> Self {
        self.check_at_least_one("rate_limit", starts);
        self.check_period("rate_limit", period);
        self.controls.rate_limit = Some(PerPeriod { starts, period, key: None });
        self.declared(Declared::RateLimit)
    }

    /// Starts one run for events that come shortly one after another: when none came for a period, with the one that happened last.
    /// [`Function::at_most`] bounds how long it is put off.
    #[must_use]
    pub fn debounce(mut self, period: SignedDuration) -> Self {
        self.check_period("debounce", period);
        self.controls.debounce = Some(Debounce { period, longest: None, key: None });
        self.declared(Declared::Debounce)
    }

    /// The longest time between the first of the events that a debounce gathers and the start of the run.
    #[must_use]
    pub fn at_most(mut self, longest: SignedDuration) -> Self {
        self.check_period("at_most", longest);
        match (self.controls.last, &mut self.controls.debounce) {
            (Some(Declared::Debounce), Some(debounce)) => debounce.longest = Some(longest),
            _ => self.defects.push("at_most stands behind no .debounce(…); it belongs after one".to_owned()),
        }
        self
    }

    /// Starts one run for several events, as soon as there are so many, at most 1000, or when the first has waited for `timeout`. Only
    /// for a [`crate::function_batch`], which takes all of them.
    #[must_use]
    pub fn batch(mut self, events_max: u32, timeout: SignedDuration) -> Self {
        self.check_at_least_one("batch", events_max);
        self.check_period("batch", timeout);
        if events_max > BATCH_MAX {
            self.defects.push(format!("a batch has at most {BATCH_MAX} events, and {events_max} are asked for"));
        }
        if !self.takes_batches {
            self.defects
                .push("batch needs a handler that takes several events: make it with function_batch".to_owned());
        }
        self.controls.batch = Some(Batch { events_max, timeout, key: None });
        self.declared(Declared::Batch)
    }

    /// Has one run at a time that has not ended, also while it sleeps; `mode` says which of two gives way.
    #[must_use]
    pub fn singleton(mut self, mode: SingletonMode) -> Self {
        self.controls.singleton = Some(Alone { mode, key: None });
        self.declared(Declared::Singleton)
    }

    /// The limit declared last counts each value of this expression over `event` for itself, such as `event.data.customer`.
    #[must_use]
    pub fn by(mut self, key: &str) -> Self {
        let key = self.parsed("by", key);
        let Controls { concurrency, throttle, rate_limit, debounce, batch, singleton, priority: _, last } =
            &mut self.controls;
        let place = match last {
            Some(Declared::Concurrency) => concurrency.last_mut().map(|last| &mut last.key),
            Some(Declared::Throttle) => throttle.as_mut().map(|last| &mut last.key),
            Some(Declared::RateLimit) => rate_limit.as_mut().map(|last| &mut last.key),
            Some(Declared::Debounce) => debounce.as_mut().map(|last| &mut last.key),
            Some(Declared::Batch) => batch.as_mut().map(|last| &mut last.key),
            Some(Declared::Singleton) => singleton.as_mut().map(|last| &mut last.key),
            None => None,
        };
        match place {
            Some(place) => *place = key,
            None => {
                self.defects.push("by stands before any limit; it belongs after the one that it is about".to_owned())
            }
        }
        self
    }

    /// Lets runs begin before those that came up to so many seconds earlier, or after later ones when it is negative: an expression over
    /// `event` whose value is a number of seconds, within twelve hours.
    #[must_use]
    pub fn priority(mut self, seconds: &str) -> Self {
        self.controls.priority = self.parsed("priority", seconds);
        self
    }

    fn declared(mut self, what: Declared) -> Self {
        self.controls.last = Some(what);
        self
    }

    fn check_at_least_one(&mut self, what: &str, number: u32) {
        if number == 0 {
            self.defects.push(format!("{what} of 0 would never start anything; give it 1 or more"));
        }
    }

    fn check_period(&mut self, what: &str, period: SignedDuration) {
        if !period.is_positive() || period > PERIOD_LONGEST {
            self.defects.push(format!("the time of {what} has to be more than nothing and at most 366 days"));
        }
    }
}

impl Controls {
    /// What does not go together.
    pub(crate) fn defects(&self, cancels: bool, takes_batches: bool) -> Vec<String> {
        let together = |one: &str, other: &str| format!("{one} and {other} cannot be combined; remove one of them");
        let gathers = [("batch", self.batch.is_some()), ("debounce", self.debounce.is_some())];
        let others = [
            ("throttle", self.throttle.is_some(), true),
            ("rate_limit", self.rate_limit.is_some(), false),
            ("singleton", self.singleton.is_some(), false),
            ("debounce", self.debounce.is_some(), false),
            ("cancel_on", cancels, false),
        ];
        let mut defects = Vec::new();
        for (gather, _) in gathers.iter().filter(|(_, is_declared)| *is_declared) {
            let meant = |with_debounce: bool| *gather == "batch" || with_debounce;
            let clash = others
                .iter()
                .filter(|(other, is_declared, with_debounce)| *is_declared && meant(*with_debounce) && other != gather);
            defects.extend(clash.map(|(other, ..)| together(gather, other)));
        }
        if takes_batches && self.batch.is_none() {
            defects.push("a function_batch without .batch(…) would take one event each; give it one".to_owned());
        }
        let unkeyed = |one: &Concurrency| one.is_shared && one.key.is_none();
        if self.concurrency.iter().any(unkeyed) {
            defects.push("a shared limit needs a key by which others share it; give it .by(…)".to_owned());
        }
        defects
    }

    /// The names of its gates with their places.
    pub(crate) fn places(&self, function: &str) -> Vec<(String, u32)> {
        self.concurrency.iter().zip(1..).map(|(one, number)| (one.name(function, number), one.places)).collect()
    }

    /// What limits a run that this event starts.
    pub(crate) fn control(&self, function: &str, scope: &Scope<'_>, lanes: &Lanes) -> Control {
        let mut gates: Vec<Gate> = Vec::new();
        for (one, number) in self.concurrency.iter().zip(1..).take(GATES_MAX) {
            if let Some(value) = key(one.key.as_ref(), scope) {
                gates.push(Gate { name: one.name(function, number), value, places: one.places });
            }
        }
        let priority_ms = self.priority.as_ref().map_or(0, |priority| lanes::milliseconds(priority, scope));
        let rank = lanes.rank(&lane(function, &gates, priority_ms), priority_ms, scope.now);
        gates.sort_by_key(Gate::order);
        gates.dedup_by_key(|gate| gate.key());
        Control {
            gates,
            rank,
            throttle: self.throttle.as_ref().and_then(|limit| limit.pace("throttle", function, scope)),
            rate_limit: self.rate_limit.as_ref().and_then(|limit| limit.pace("rate_limit", function, scope)),
            gather: self.gather(scope),
            singleton: self
                .singleton
                .as_ref()
                .and_then(|alone| key(alone.key.as_ref(), scope).map(|key| Singleton { key, mode: alone.mode })),
        }
    }

    fn gather(&self, scope: &Scope<'_>) -> Option<Gather> {
        if let Some(Batch { events_max, timeout, key: by }) = &self.batch {
            let kind = GatherKind::Batch { events_max: *events_max, timeout: *timeout };
            return key(by.as_ref(), scope).map(|key| Gather { key, kind });
        }
        let Debounce { period, longest, key: by } = self.debounce.as_ref()?;
        let kind = GatherKind::Debounce { period: *period, longest: *longest };
        key(by.as_ref(), scope).map(|key| Gather { key, kind })
    }

    /// What makes its runs begin before or after their turn.
    pub(crate) fn priority(&self) -> Option<&Expression> {
        self.priority.as_ref()
    }
}

impl Concurrency {
    /// What makes it one limit: the function and its place there, or for a shared one its key.
    fn name(&self, function: &str, number: usize) -> String {
        match &self.key {
            Some(key) if self.is_shared => format!("account/{}", short(key.source())),
            _ => format!("fn/{function}/{number}"),
        }
    }
}

impl PerPeriod {
    fn pace(&self, what: &str, function: &str, scope: &Scope<'_>) -> Option<Pace> {
        let key = key(self.key.as_ref(), scope)?;
        Some(Pace { key: format!("{what}/{function}/{key}"), starts: self.starts, period: self.period })
    }
}

/// Runs that share their turns: those of a function or of one of its keys, and of one priority, or an urgent one would stand behind all
/// of its lane that are not.
fn lane(function: &str, gates: &[Gate], priority_ms: i64) -> String {
    let key = gates.iter().map(|gate| gate.value.as_str()).find(|value| !value.is_empty()).unwrap_or_default();
    format!("{priority_ms}/{function}/{key}")
}

/// By what a limit counts; nothing when it does not.
fn key(expression: Option<&Expression>, scope: &Scope<'_>) -> Option<String> {
    let Some(expression) = expression else { return Some(String::new()) };
    // PostgreSQL's text holds every character but NUL.
    expression.key(scope).map(|key| key.replace('\0', "\u{fffd}"))
}

fn short(source: &str) -> String {
    if source.len() <= NAME_BYTES_MAX {
        return source.to_owned();
    }
    let bytes = digest(&SHA256, source.as_bytes());
    bytes.as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What of two functions' shared limits does not fit together.
pub(crate) fn clash(name: &str, one: u32, other: impl Display) -> String {
    let shown = name.strip_prefix("account/").unwrap_or(name);
    format!(
        "the shared limit by {shown} has {one} runs here and another number at function {other}; give both the same"
    )
}

/// Whether a gate counts the runs of several functions.
pub(crate) fn is_shared(name: &str) -> bool {
    name.starts_with("account/")
}
