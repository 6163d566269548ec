//! Time is passed in, so that tests move it instead of sleeping.

use std::sync::Mutex;

use jiff::{SignedDuration, Timestamp};

/// The source of "now" for everything that compares, stores or schedules a time.
pub trait Clock: Send + Sync + 'static {
    /// The current time.
    fn now(&self) -> Timestamp;
}

/// The machine's wall clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}

/// A clock that stands still until a test moves it.
#[derive(Debug)]
pub struct ManualClock(Mutex<Timestamp>);

impl ManualClock {
    /// A clock that shows `start`.
    pub fn new(start: Timestamp) -> Self {
        Self(Mutex::new(start))
    }

    /// Moves the clock forward, or backward with a negative duration.
    pub fn advance(&self, by: SignedDuration) {
        let mut now = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *now = now.saturating_add(by).unwrap_or(*now);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manual_clock_moves_only_when_told() {
        let start = Timestamp::from_second(1_700_000_000).unwrap();
        let clock = ManualClock::new(start);
        assert_eq!((clock.now(), clock.now()), (start, start));
        clock.advance(SignedDuration::from_millis(1_500));
        assert_eq!(clock.now().as_millisecond(), 1_700_000_001_500);
        clock.advance(SignedDuration::from_hours(-24));
        assert_eq!(clock.now().as_millisecond(), 1_699_913_601_500);
    }

    #[test]
    fn a_manual_clock_stays_inside_the_range_of_timestamps() {
        let clock = ManualClock::new(Timestamp::from_second(0).unwrap());
        clock.advance(SignedDuration::MAX);
        assert_eq!(clock.now(), Timestamp::MAX);
        clock.advance(SignedDuration::MIN);
        assert_eq!(clock.now(), Timestamp::MIN);
    }

    #[test]
    fn the_system_clock_is_not_behind_this_program() {
        // The release of Rust 1.95, with which this is built at the least.
        assert!(SystemClock.now().as_second() > 1_775_000_000);
    }
}
