//! The time of functions.

use std::sync::Arc;

use billhook_core::{Clock, SystemClock};
use billhook_flow::test_clock::TestClock;
use jiff::SignedDuration;

/// How long a run of a dead process rests, in seconds of the world: with the look of another process, it is resumed within 10 s.
const LEASE_SECONDS: i64 = 8;

/// The clock by which functions sleep. Everything else goes by the system's.
#[derive(Clone)]
pub struct FunctionClock {
    clock: Arc<dyn Clock>,
    /// Its seconds in one second of the world.
    pace: i32,
}

impl FunctionClock {
    /// The system's.
    pub fn system() -> Self {
        Self { clock: Arc::new(SystemClock), pace: 1 }
    }

    /// One that goes with the system's, or stands.
    pub fn test(clock: Arc<TestClock>) -> Self {
        Self { clock, pace: 1 }
    }

    /// One that runs so many times as fast as the world.
    pub fn fast(clock: Arc<dyn Clock>, pace: i32) -> Self {
        Self { clock, pace: pace.max(1) }
    }

    /// The clock itself.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// The lease of a run by this clock. It is the same time of the world at any pace, or a fast clock would end leases that are alive.
    pub fn lease(&self) -> SignedDuration {
        SignedDuration::from_secs(LEASE_SECONDS) * self.pace
    }
}

#[cfg(test)]
mod tests {
    use billhook_core::ManualClock;
    use jiff::Timestamp;

    use super::*;

    #[test]
    fn a_lease_lasts_as_long_in_the_world_at_any_pace() {
        assert_eq!(FunctionClock::system().lease(), SignedDuration::from_secs(LEASE_SECONDS));
        let clock = || Arc::new(ManualClock::new(Timestamp::UNIX_EPOCH));
        // 30 days a second, the most that the demo takes.
        let day_seconds = 86_400;
        let fast = FunctionClock::fast(clock(), 30 * day_seconds);
        assert_eq!(fast.lease(), SignedDuration::from_hours(24 * 30 * LEASE_SECONDS));
        assert_eq!(FunctionClock::fast(clock(), 0).lease(), FunctionClock::system().lease());
    }
}
