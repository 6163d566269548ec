//! What holds runs back: how many are executed at once, how fast they start, and which events share one. The decisions of both drivers.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use ring::digest::{SHA256, digest};

use crate::Suspects;

/// What limits a run, found out once from the event that starts it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Control {
    /// Gates that it passes before it is executed, in this order; at most [`GATES_MAX`].
    pub gates: Vec<Gate>,
    /// Its place among runs that are ready: lower numbers are claimed first.
    pub rank: i64,
    /// Starts it later when many start.
    pub throttle: Option<Pace>,
    /// Does not start it when many start.
    pub rate_limit: Option<Pace>,
    /// Starts it for several events together.
    pub gather: Option<Gather>,
    /// Starts it alone.
    pub singleton: Option<Singleton>,
}

/// Most gates of one run: two columns hold them.
pub const GATES_MAX: usize = 2;

/// Lets only so many runs be executed at the same time. A run that passed one gate keeps its place there while it waits for the next;
/// all runs pass gates in one order, that of [`Gate::order`], so that no two of them wait for each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gate {
    /// What declares the limit.
    pub name: String,
    /// The key by which it counts.
    pub value: String,
    /// Runs at the same time.
    pub places: u32,
}

/// Between the name of a gate and its value: no name holds it.
const SEPARATOR: char = '\u{1f}';

impl Gate {
    /// The gate as databases hold it.
    pub fn key(&self) -> String {
        format!("{}{SEPARATOR}{}", self.name, self.value)
    }

    /// Narrow gates come first: a place in a wide one is not held by a run that cannot go on. Then the key decides, which makes the
    /// order the same for all runs.
    pub fn order(&self) -> (u32, String) {
        (self.places, self.key())
    }

    /// The name and the value of a gate's key.
    pub fn parts(key: &str) -> (&str, &str) {
        key.split_once(SEPARATOR).unwrap_or((key, ""))
    }
}

/// So many starts in a period, by a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pace {
    /// What is counted.
    pub key: String,
    /// Starts in a period.
    pub starts: u32,
    /// The period.
    pub period: SignedDuration,
}

/// Makes one run of several events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Gather {
    /// What the events have in common.
    pub key: String,
    /// How they are gathered.
    pub kind: GatherKind,
}

/// How events are gathered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GatherKind {
    /// The last one starts the run, once no other came for a period.
    Debounce {
        /// The period.
        period: SignedDuration,
        /// The longest time between the first event and the start.
        longest: Option<SignedDuration>,
    },
    /// All of them start it, as soon as there are enough, or after a time.
    Batch {
        /// Enough.
        events_max: u32,
        /// The longest time between the first event and the start.
        timeout: SignedDuration,
    },
}

/// Lets only one run of a function exist for a key until it ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Singleton {
    /// The key.
    pub key: String,
    /// Which one gives way.
    pub mode: SingletonMode,
}

/// Which run gives way to the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SingletonMode {
    /// The new one is not started.
    Skip,
    /// The present one is called off.
    Cancel,
}

/// Why a run that has never been executed is not due yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pause {
    /// Others started before it.
    Throttle,
    /// Another event may come.
    Debounce,
    /// More events may come.
    Batch,
}

impl Pause {
    /// Its name in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Throttle => "throttle",
            Self::Debounce => "debounce",
            Self::Batch => "batch",
        }
    }

    /// The pause of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Throttle, Self::Debounce, Self::Batch].into_iter().find(|pause| pause.name() == name)
    }
}

/// The gate that a run stands at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blocked {
    /// The gate's key; see [`Gate::parts`].
    pub gate: String,
    /// Places that are taken.
    pub taken: u32,
    /// Places when it was stopped.
    pub places: u32,
}

/// Locks of one function's keys. Two keys with one lock wait for each other for the length of a commit, and a batch of events with many
/// keys does not fill the database's table of locks.
const LOCKS: u8 = 64;

impl Control {
    /// Whether the run is created whatever else exists.
    pub(crate) fn is_free(&self) -> bool {
        let Self { gates: _, rank: _, throttle, rate_limit, gather, singleton } = self;
        throttle.is_none() && rate_limit.is_none() && gather.is_none() && singleton.is_none()
    }

    /// What a transaction locks before it decides. The locks share their table with names of events, which do not begin with a space.
    pub(crate) fn locks(&self, function: &str) -> Vec<String> {
        let Self { gates: _, rank: _, throttle, rate_limit, gather, singleton } = self;
        let paces = [throttle, rate_limit].into_iter().flatten().map(|pace| ("pace", pace.key.as_str()));
        let gather = gather.iter().map(|gather| ("gather", gather.key.as_str()));
        let singleton = singleton.iter().map(|singleton| singleton_lock(function, &singleton.key));
        paces.chain(gather).map(|(kind, key)| lock_name(kind, function, key)).chain(singleton).collect()
    }

    /// The gate at a position, counted from 0.
    pub(crate) fn gate(&self, position: usize) -> Option<String> {
        self.gates.get(position).map(Gate::key)
    }
}

/// What a transaction locks before it looks who has a singleton key.
pub(crate) fn singleton_lock(function: &str, key: &str) -> String {
    lock_name("singleton", function, key)
}

fn lock_name(kind: &str, function: &str, key: &str) -> String {
    format!(" {kind} {function} {}", lock_number(key))
}

/// The same on every node, whatever its version.
fn lock_number(key: &str) -> u8 {
    digest(&SHA256, key.as_bytes()).as_ref().first().copied().unwrap_or_default() % LOCKS
}

/// What the database knows about a run that is to be started.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// The event has started this function, or has come to nothing before.
    pub(crate) is_known: bool,
    /// A run that gathers events for the same key.
    pub(crate) gathering: Option<Gathering>,
    /// A run that has not ended for the same singleton key.
    pub(crate) present: Option<String>,
    /// When a start of the throttle's key is next allowed.
    pub(crate) throttle_next: Option<Timestamp>,
    /// The same of the rate limit's key.
    pub(crate) rate_next: Option<Timestamp>,
}

/// A run that gathers events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Gathering {
    pub(crate) run: String,
    pub(crate) events: u32,
    pub(crate) created_at: Timestamp,
    /// When the event happened that it will be started by.
    pub(crate) event_ts: Timestamp,
}

/// What becomes of an event that is meant to start a function.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) verdict: Verdict,
    /// New states of paces by their keys.
    pub(crate) paces: Vec<(String, Timestamp)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It was decided before.
    Known,
    /// No run: there are too many starts of this key.
    Limited { key: String },
    /// No run: this one has not ended.
    Skipped { present: String },
    /// One more event of a run that gathers.
    Joined { run: String, position: u32, due_at: Option<Timestamp>, is_full: bool, replaces: bool },
    /// A run of its own, in place of `replaced`.
    Created { due_at: Timestamp, pause: Option<Pause>, events_max: u32, replaced: Option<String> },
}

impl Verdict {
    /// Under which name it is noted that the event has no run of its own; nothing for what is new or was noted before.
    pub(crate) fn reason(&self, control: &Control) -> Option<&'static str> {
        match self {
            Self::Known => None,
            Self::Limited { .. } => Some("rate_limit"),
            Self::Skipped { .. } => Some("singleton"),
            Self::Joined { .. } | Self::Created { .. } => control.gather.as_ref().map(|gather| match gather.kind {
                GatherKind::Debounce { .. } => Pause::Debounce.name(),
                GatherKind::Batch { .. } => Pause::Batch.name(),
            }),
        }
    }
}

/// Passes the gates of a start in their order: batch, rate limit, debounce, singleton, throttle.
pub(crate) fn decide(
    control: &Control,
    found: &Found,
    event_ts: Timestamp,
    due_at: Timestamp,
    now: Timestamp,
) -> Decision {
    let Control { gates: _, rank: _, throttle, rate_limit, gather, singleton } = control;
    let mut paces = Vec::new();
    let none = |verdict| Decision { verdict, paces: Vec::new() };
    if found.is_known {
        return none(Verdict::Known);
    }
    let kind = gather.as_ref().map(|gather| gather.kind);
    if let (Some(GatherKind::Batch { events_max, .. }), Some(gathering)) = (kind, &found.gathering) {
        return none(joined_batch(gathering, events_max, now));
    }
    if let Some(pace) = rate_limit {
        match pace.admit(found.rate_next, now) {
            Some(next) => paces.push((pace.key.clone(), next)),
            None => return none(Verdict::Limited { key: pace.key.clone() }),
        }
    }
    if let (Some(GatherKind::Debounce { period, longest }), Some(gathering)) = (kind, &found.gathering) {
        let latest = longest.map_or(Timestamp::MAX, |longest| after(gathering.created_at, longest));
        let due_at = Some(after(now, period).min(latest).max(now));
        let (run, position, replaces) = (gathering.run.clone(), gathering.events + 1, event_ts >= gathering.event_ts);
        return Decision { verdict: Verdict::Joined { run, position, due_at, is_full: false, replaces }, paces };
    }
    let replaced = match (singleton.as_ref().map(|singleton| singleton.mode), &found.present) {
        (Some(SingletonMode::Skip), Some(present)) => return none(Verdict::Skipped { present: present.clone() }),
        (Some(SingletonMode::Cancel), Some(present)) => Some(present.clone()),
        (_, None) | (None, _) => None,
    };
    let (mut due_at, mut pause, events_max) = match kind {
        Some(GatherKind::Batch { events_max: 0 | 1, .. }) | None => (due_at, None, 1),
        Some(GatherKind::Batch { events_max, timeout }) => (after(now, timeout), Some(Pause::Batch), events_max),
        Some(GatherKind::Debounce { period, longest }) => {
            (after(now, longest.map_or(period, |longest| longest.min(period))), Some(Pause::Debounce), 1)
        }
    };
    if let Some(pace) = throttle {
        let (start, next) = pace.delay(found.throttle_next, due_at);
        pause = pause.or((start > due_at).then_some(Pause::Throttle));
        due_at = start;
        paces.push((pace.key.clone(), next));
    }
    Decision { verdict: Verdict::Created { due_at, pause, events_max, replaced }, paces }
}

fn joined_batch(gathering: &Gathering, events_max: u32, now: Timestamp) -> Verdict {
    let (run, position) = (gathering.run.clone(), gathering.events + 1);
    let is_full = position >= events_max;
    Verdict::Joined { run, position, due_at: is_full.then_some(now), is_full, replaces: false }
}

impl Pace {
    /// The time between two starts.
    fn interval(&self) -> SignedDuration {
        self.period / i32::try_from(self.starts.max(1)).unwrap_or(i32::MAX)
    }

    /// Starts evenly spread: when the next one is made that is asked for at `at`, and when the one after it may be. No period holds more
    /// starts than allowed.
    fn delay(&self, next: Option<Timestamp>, at: Timestamp) -> (Timestamp, Timestamp) {
        let start = next.map_or(at, |next| next.max(at));
        (start, after(start, self.interval()))
    }

    /// The generic cell rate algorithm: after a quiet period all starts of one period pass at once, and then one for each interval.
    /// `None` when this one does not.
    fn admit(&self, next: Option<Timestamp>, now: Timestamp) -> Option<Timestamp> {
        let full_at = next.map_or(now, |next| next.max(now));
        let next = after(full_at, self.interval());
        (next <= after(now, self.period)).then_some(next)
    }
}

fn after(time: Timestamp, duration: SignedDuration) -> Timestamp {
    time.saturating_add(duration).unwrap_or(Timestamp::MAX)
}

/// The places of a gate; none when nobody declares a limit for it.
fn places_of(gate: &str, places: &[(String, u32)]) -> Option<u32> {
    let (name, _) = Gate::parts(gate);
    places.iter().find(|(declared, _)| declared == name).map(|(_, places)| *places)
}

/// Free places of gates, by those that have some. Gates without a limit are open as wide as it gets.
pub(crate) fn free(gates: &[String], taken: &HashMap<String, u32>, places: &[(String, u32)]) -> Vec<(String, u32)> {
    let free = |gate: &String| {
        let places = places_of(gate, places).unwrap_or(OPEN_PLACES);
        places.saturating_sub(taken.get(gate).copied().unwrap_or_default())
    };
    gates.iter().map(|gate| (gate.clone(), free(gate))).filter(|(_, free)| *free > 0).collect()
}

/// Runs that go on in one sweep where a limit was taken away.
const OPEN_PLACES: u32 = 1_000;

/// A run that is due, on its way through its gates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub(crate) id: String,
    pub(crate) gates: Vec<String>,
    /// Gates at which it has a place already.
    pub(crate) holds: usize,
    /// Whoever executed it is gone; it has all its places.
    pub(crate) is_held: bool,
    /// Workers that died with it, the present holder among them if it is gone.
    pub(crate) crashes: u32,
}

/// Candidates that may be executed now, and the suspects that are due again later.
pub(crate) fn not_put_off(
    candidates: Vec<Candidate>,
    suspects: &mut Suspects,
    now: Timestamp,
) -> (Vec<Candidate>, Vec<(Candidate, Timestamp)>) {
    let deaths: Vec<u32> = candidates.iter().map(|one| one.crashes).collect();
    let (mut now_due, mut later) = (Vec::with_capacity(candidates.len()), Vec::new());
    for (candidate, pause) in candidates.into_iter().zip(suspects.choose(&deaths)) {
        match pause {
            None => now_due.push(candidate),
            Some(pause) => later.push((candidate, now.saturating_add(pause).unwrap_or(Timestamp::MAX))),
        }
    }
    (now_due, later)
}

/// Where a candidate stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Passed {
    pub(crate) id: String,
    pub(crate) holds: usize,
    /// The gate that stops it, with its places.
    pub(crate) stopped_at: Option<(String, u32)>,
}

/// Lets candidates pass in their order. `taken` counts the places of gates and is kept up to date; a gate whose limit nobody declares is
/// open.
pub(crate) fn pass(
    candidates: &[Candidate],
    taken: &mut HashMap<String, u32>,
    places: &[(String, u32)],
) -> Vec<Passed> {
    let mut passed = Vec::with_capacity(candidates.len());
    for candidate in candidates {
        let mut one = Passed { id: candidate.id.clone(), holds: candidate.holds, stopped_at: None };
        if candidate.is_held {
            one.holds = candidate.gates.len();
        }
        while let Some(gate) = candidate.gates.get(one.holds) {
            let count = taken.entry(gate.clone()).or_default();
            if let Some(places) = places_of(gate, places).filter(|places| *count >= *places) {
                one.stopped_at = Some((gate.clone(), places));
                break;
            }
            *count += 1;
            one.holds += 1;
        }
        passed.push(one);
    }
    passed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    fn pace(starts: u32, seconds: i64) -> Pace {
        Pace { key: "k".to_owned(), starts, period: SignedDuration::from_secs(seconds) }
    }

    #[test]
    fn a_throttle_spreads_starts_and_keeps_all_of_them() {
        let (pace, mut next, mut starts) = (pace(6, 60), None, Vec::new());
        for _ in 0..12 {
            let (start, following) = pace.delay(next, at(1_000));
            starts.push(start.as_second());
            next = Some(following);
        }
        assert_eq!(starts, (0..12).map(|number| 1_000 + 10 * number).collect::<Vec<_>>());
        assert_eq!(pace.delay(next, at(9_000)).0, at(9_000), "a quiet time is not saved up");
    }

    #[test]
    fn a_rate_limit_lets_a_period_pass_at_once_and_then_its_share() {
        let (pace, mut next) = (pace(3, 60), None);
        let mut ask = |second| match pace.admit(next, at(second)) {
            Some(following) => {
                next = Some(following);
                true
            }
            None => false,
        };
        assert_eq!(
            [ask(0), ask(0), ask(0), ask(0), ask(19), ask(20), ask(21)],
            [true, true, true, false, false, true, false]
        );
        assert_eq!([ask(500), ask(500), ask(500), ask(500)], [true, true, true, false]);
    }

    #[test]
    fn gates_are_passed_in_order_and_places_are_kept() {
        let candidate = |id: &str, gates: &[&str], holds| Candidate {
            id: id.to_owned(),
            gates: gates.iter().map(|gate| format!("{gate}\u{1f}")).collect(),
            holds,
            is_held: false,
            crashes: 0,
        };
        let dead = Candidate { is_held: true, ..candidate("dead", &["a", "b"], 0) };
        let candidates =
            [candidate("1", &["a", "b"], 0), candidate("2", &["a", "b"], 0), candidate("3", &["a", "b"], 0), dead];
        let places = [("a".to_owned(), 2), ("b".to_owned(), 1)];
        let passed = pass(&candidates, &mut HashMap::new(), &places);
        let shown: Vec<(usize, Option<&str>)> = passed
            .iter()
            .map(|one| (one.holds, one.stopped_at.as_ref().map(|(gate, _)| Gate::parts(gate).0)))
            .collect();
        assert_eq!(shown, [(2, None), (1, Some("b")), (0, Some("a")), (2, None)]);
        let open = pass(&candidates, &mut HashMap::new(), &[]);
        assert!(open.iter().all(|one| one.stopped_at.is_none()));
    }
}
