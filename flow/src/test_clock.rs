//! A clock of functions that stands still and is moved by hand, so that a month of sleeps passes in a moment.
//!
//! Its time is kept in the database, so that it never goes back, whatever happens to the process. One process at a time may move it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use billhook_core::{Clock, SystemClock};
use billhook_store::{Store, StoreError};
use jiff::{RoundMode, SignedDuration, Timestamp, TimestampRound, Unit};

use crate::engine::Settle;
use crate::execution::WAIT_LONGEST;

/// The database's setting that holds its time.
const SETTING: &str = "test_clock";

/// The database's setting that says which of Stripe's worlds it mirrors, and its value for the one with money in it.
const MODE: (&str, &str) = ("mode", "live");

/// The time of functions: the system's, until it is frozen.
#[derive(Debug, Default)]
pub struct TestClock(Mutex<Option<Timestamp>>);

impl TestClock {
    /// As the database has it.
    ///
    /// # Errors
    /// When the database fails, or holds something else than a time.
    pub async fn open(store: &Store) -> Result<Self, StoreError> {
        Ok(Self(Mutex::new(frozen_at(store).await?)))
    }

    /// The time at which it stands; `None` while it goes.
    pub fn frozen(&self) -> Option<Timestamp> {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set(&self, time: Timestamp) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(time);
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        self.frozen().unwrap_or_else(|| SystemClock.now())
    }
}

/// The time at which the clock of a database stands; `None` when it goes with the system's.
///
/// # Errors
/// When the database fails, or holds something else than a time.
pub async fn frozen_at(store: &Store) -> Result<Option<Timestamp>, StoreError> {
    let corrupt = |error| StoreError::Corrupt(format!("the setting {SETTING} holds no time: {error}"));
    store.setting(SETTING).await?.map(|time| time.parse().map_err(corrupt)).transpose()
}

/// Where to move a clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advance {
    /// To this time.
    To(Timestamp),
    /// By so much.
    By(SignedDuration),
}

/// How far a clock has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moved {
    /// Where it is.
    pub now: Timestamp,
    /// Where it was to go.
    pub to: Timestamp,
    /// Whether it is there and nothing is left to do. If not, it is moved further by [`Advance::To`] the same time.
    pub is_done: bool,
}

/// Why a clock is not moved.
#[derive(Debug, thiserror::Error)]
pub enum ClockError {
    /// It goes forward only.
    #[error("the clock stands at {now} and does not go back to {to}; give a later time")]
    Backward {
        /// Where it is.
        now: Timestamp,
        /// Where it should have gone.
        to: Timestamp,
    },
    /// All that is due on the way has to be done.
    #[error("from {now} to {to} are more than 366 days; advance in several parts")]
    TooFar {
        /// Where it is.
        now: Timestamp,
        /// Where it should have gone.
        to: Timestamp,
    },
    /// Nobody's subscriptions are to be billed by a time that is not.
    #[error(
        "this database mirrors live mode, where the time of functions is never moved; use a database of its own for tests"
    )]
    Live,
    /// The database failed. The clock stands at the last time that it reached.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Moves the clock of one engine. Cheap to clone.
#[derive(Clone)]
pub struct ClockControl {
    clock: Arc<TestClock>,
    store: Store,
    settle: Arc<dyn Settle>,
    turn: Arc<tokio::sync::Mutex<()>>,
}

impl ClockControl {
    /// For the only engine that works on this database, which goes by this clock.
    pub fn new(clock: Arc<TestClock>, store: Store, settle: Arc<dyn Settle>) -> Self {
        Self { clock, store, settle, turn: Arc::default() }
    }

    /// The clock.
    pub fn clock(&self) -> &TestClock {
        &self.clock
    }

    /// Lets it stand still from now on; returns its time. One that stands stays as it is.
    ///
    /// # Errors
    /// In live mode, and when the database fails.
    pub async fn freeze(&self) -> Result<Timestamp, ClockError> {
        let _turn = self.turn.lock().await;
        self.frozen().await
    }

    async fn frozen(&self) -> Result<Timestamp, ClockError> {
        // The first delivery may have decided it since the start.
        if self.store.setting(MODE.0).await?.as_deref() == Some(MODE.1) {
            return Err(ClockError::Live);
        }
        if let Some(time) = self.clock.frozen() {
            return Ok(time);
        }
        // Whole milliseconds, so that times which follow from it are as short.
        let up = TimestampRound::new().smallest(Unit::Millisecond).mode(RoundMode::Ceil);
        let now = SystemClock.now();
        self.put(now.round(up).unwrap_or(now)).await
    }

    /// Freezes it if it goes, and moves it forward. All that is due on the way is done in the order in which it is due, each at its own
    /// time. It ends when nothing is left to do, or when `patience`, a time of the world, is over; then it stays where it has come to.
    ///
    /// # Errors
    /// When it would go back or more than 366 days, in live mode, and when the database fails.
    pub async fn advance(&self, advance: Advance, patience: Duration) -> Result<Moved, ClockError> {
        let _turn = self.turn.lock().await;
        let now = self.frozen().await?;
        let to = match advance {
            Advance::To(to) => to,
            Advance::By(by) => now.saturating_add(by).unwrap_or(Timestamp::MAX),
        };
        if to < now {
            return Err(ClockError::Backward { now, to });
        }
        if to.duration_since(now) > WAIT_LONGEST {
            return Err(ClockError::TooFar { now, to });
        }
        let is_done = match tokio::time::timeout(patience, self.pass(to)).await {
            Ok(passed) => passed.map(|()| true)?,
            Err(_elapsed) => false,
        };
        Ok(Moved { now: self.clock.now(), to, is_done })
    }

    /// From one due time to the next, until there is none up to this time.
    async fn pass(&self, to: Timestamp) -> Result<(), ClockError> {
        loop {
            let next = self.settle.settle().await?;
            if self.clock.now() >= to {
                return Ok(());
            }
            self.put(next.map_or(to, |next| next.min(to))).await?;
        }
    }

    /// Written first: a clock that is started again is never behind what was done by it.
    async fn put(&self, time: Timestamp) -> Result<Timestamp, ClockError> {
        self.store.write_setting(SETTING, &time.to_string()).await?;
        self.clock.set(time);
        Ok(time)
    }
}
