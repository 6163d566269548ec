//! The clock of functions in the demo.

use std::time::Instant;

use billhook_core::Clock;
use jiff::{SignedDuration, Timestamp};

/// Runs beside the account's clock: from the same moment on, and as fast.
pub struct FastClock {
    start: Timestamp,
    since: Instant,
    factor: u32,
}

impl FastClock {
    /// From `start` on, `factor` times as fast as on the wall.
    pub fn new(start: Timestamp, factor: u32) -> Self {
        Self { start, since: Instant::now(), factor }
    }
}

impl Clock for FastClock {
    fn now(&self) -> Timestamp {
        let elapsed = i64::try_from(self.since.elapsed().as_micros()).unwrap_or(i64::MAX);
        let passed = SignedDuration::from_micros(elapsed.saturating_mul(i64::from(self.factor)));
        self.start.saturating_add(passed).unwrap_or(Timestamp::MAX)
    }
}
