//! What all engines of a simulation share: one chance, one time, and the history of what happened.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use billhook_core::chance::Sequence;
use billhook_store::{SqlRow, SqlValue, Store};
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::plan::{Plan, index, signed};

/// Unix seconds at which all simulations begin.
const BEGINNING: i64 = 1_800_000_000;

/// Most operations of the database in one simulation; a usual one has some hundreds.
const OPERATIONS_MAX: u64 = 100_000;

/// One simulation.
pub struct World {
    pub plan: Plan,
    /// The database as it is, without disturbances.
    pub store: Store,
    /// Told when a process dies.
    pub died: Notify,
    began: Instant,
    state: Mutex<State>,
}

/// What changes.
pub struct State {
    chance: Sequence,
    /// How far the world's clock is ahead of the runtime's time.
    ahead: SignedDuration,
    /// The latest time that any clock has shown.
    pub latest: Timestamp,
    /// Nothing fails any more.
    pub is_calm: bool,
    pub history: Vec<String>,
    pub violation: Option<String>,
    /// Calls of steps, by run and step.
    pub calls: HashMap<(String, String), Calls>,
    /// What functions were given, by run and step.
    pub results: BTreeMap<(String, String), Result<Value, String>>,
    /// How often the function of a run has stumbled at an operation.
    pub stumbled: HashMap<(String, String), u32>,
    /// Events that are published, by id.
    pub published: BTreeSet<String>,
    /// Runs that are called off, and since when.
    pub cancelled: BTreeMap<String, Instant>,
    /// Runs that a person wanted to call off without hearing whether it was done.
    pub tried_to_cancel: BTreeSet<String>,
    /// How often a person has let a parked run go on, or may have.
    pub retried: BTreeMap<String, u32>,
    effects: u64,
    operations: u64,
}

/// Calls of one step.
#[derive(Debug, Default)]
pub struct Calls {
    pub key: String,
    pub count: u32,
}

impl World {
    pub fn new(plan: Plan, store: Store, chance: Sequence) -> Arc<Self> {
        let beginning = Timestamp::from_second(BEGINNING).unwrap();
        let state = State {
            chance,
            ahead: SignedDuration::ZERO,
            latest: beginning,
            is_calm: false,
            history: Vec::new(),
            violation: None,
            calls: HashMap::new(),
            results: BTreeMap::new(),
            stumbled: HashMap::new(),
            published: BTreeSet::new(),
            cancelled: BTreeMap::new(),
            tried_to_cancel: BTreeSet::new(),
            retried: BTreeMap::new(),
            effects: 0,
            operations: 0,
        };
        let (died, began) = (Notify::new(), Instant::now());
        let world = Self { plan, store, died, began, state: Mutex::new(state) };
        world.log(format!("{:?}", world.plan));
        Arc::new(world)
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// A number below `bound`.
    pub fn below(&self, bound: u64) -> u64 {
        self.state().chance.below(bound)
    }

    /// One of `length` things.
    pub fn pick(&self, length: usize) -> usize {
        index(&mut self.state().chance, length)
    }

    /// Whether something happens that happens so often in a thousand times.
    pub fn happens(&self, thousandths: u64) -> bool {
        self.below(1_000) < thousandths
    }

    /// The time by a clock that is off by so much.
    pub fn now(&self, skew: SignedDuration) -> Timestamp {
        let passed = SignedDuration::try_from(self.began.elapsed()).unwrap();
        let mut state = self.state();
        let now = Timestamp::from_second(BEGINNING).unwrap() + passed + state.ahead + skew;
        state.latest = state.latest.max(now);
        now
    }

    /// Sets all clocks forward or back.
    pub fn jump(&self, by: SignedDuration) {
        self.state().ahead += by;
        self.log(format!("clocks jump by {by:#}"));
    }

    /// Something happened.
    pub fn log(&self, what: impl AsRef<str>) {
        let (passed, now) = (self.began.elapsed(), self.now(SignedDuration::ZERO));
        self.state().history.push(format!("{:>9.3} {now:.3} {}", passed.as_secs_f64(), what.as_ref()));
    }

    /// Something happened that must not.
    pub fn violate(&self, what: impl AsRef<str>) {
        self.log(format!("VIOLATION: {}", what.as_ref()));
        self.state().violation.get_or_insert_with(|| what.as_ref().to_owned());
    }

    /// A number for an effect that nothing else has.
    pub fn effect(&self) -> u64 {
        let mut state = self.state();
        state.effects += 1;
        state.effects
    }

    /// Counts an operation of the database; false when there were so many that something goes round in circles, without time passing.
    pub fn count_operation(&self) -> bool {
        let mut state = self.state();
        state.operations += 1;
        let has_room = state.operations <= OPERATIONS_MAX;
        drop(state);
        if !has_room {
            self.violate(format!("there were more than {OPERATIONS_MAX} operations of the database"));
        }
        has_room
    }

    /// Waits for a while of the runtime's time.
    pub async fn pause(&self, longest_ms: u64) {
        tokio::time::sleep(Duration::from_millis(self.below(longest_ms))).await;
    }

    /// Rows as they are in the database.
    pub async fn rows(&self, sql: &str, parameters: &[SqlValue]) -> Vec<SqlRow> {
        self.store.read_sql(sql, parameters).await.unwrap()
    }

    /// What a seed did, as a number: the same seed has the same one.
    pub fn digest(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.state().history.hash(&mut hasher);
        hasher.finish()
    }
}

/// So many milliseconds.
pub fn ms(number: u64) -> SignedDuration {
    SignedDuration::from_millis(signed(number))
}
