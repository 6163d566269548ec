//! The simulated account's clock.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// How the account's time passes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum ClockMode {
    /// As on the wall.
    Real,
    /// It stands still until moved. The value is the start in Unix seconds.
    Manual(i64),
    /// It runs `factor` times as fast as on the wall.
    Fast {
        /// Unix seconds at the start.
        start: i64,
        /// Simulated seconds per real second: 86,400 is a day a second.
        factor: u32,
    },
}

/// Tells the account's time; never goes back.
#[derive(Debug)]
pub(crate) struct Clock {
    mode: ClockMode,
    since: Instant,
    /// What was added by hand, in milliseconds.
    added: i64,
    /// The time shown while a timer runs that was due earlier than now, in milliseconds.
    pinned: Option<i64>,
}

impl Clock {
    pub(crate) fn new(mode: ClockMode) -> Self {
        Self { mode, since: Instant::now(), added: 0, pinned: None }
    }

    /// Milliseconds since 1970.
    pub(crate) fn now_ms(&self) -> i64 {
        self.pinned.unwrap_or_else(|| self.running_ms())
    }

    /// Milliseconds since 1970, whatever timer runs at the moment.
    pub(crate) fn running_ms(&self) -> i64 {
        let elapsed = || i64::try_from(self.since.elapsed().as_millis()).unwrap_or(i64::MAX);
        let shown = match self.mode {
            ClockMode::Real => wall_ms(),
            ClockMode::Manual(start) => start * 1_000,
            ClockMode::Fast { start, factor } => start * 1_000 + elapsed().saturating_mul(i64::from(factor)),
        };
        shown + self.added
    }

    /// Adds milliseconds in every mode; a negative amount is ignored.
    pub(crate) fn add_ms(&mut self, by: i64) {
        self.added += by.max(0);
    }

    pub(crate) fn pin(&mut self, at_ms: Option<i64>) {
        self.pinned = at_ms;
    }
}

/// The wall clock in milliseconds since 1970.
pub(crate) fn wall_ms() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
