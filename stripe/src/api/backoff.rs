//! Whether to try again, and how long to wait before.

use std::time::Duration;

use ring::rand::{SecureRandom as _, SystemRandom};

use super::Limits;

/// What a request has been through.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    counted: u32,
    repeated: u32,
    spent: Duration,
    was_closed: bool,
}

/// How an attempt failed, as far as another one is concerned.
#[derive(Debug, Clone, Copy)]
pub(super) struct Failed {
    /// What Stripe wishes.
    pub(super) retry_after: Option<Duration>,
    /// Whether it does not count, because it was turned away for the rate.
    pub(super) is_free: bool,
    /// Whether the connection was closed: once in a request's life that is an idle one that was given up, and no failure.
    pub(super) is_closed: bool,
}

impl Attempts {
    /// Adds the time of an attempt.
    pub(super) fn spend(&mut self, time: Duration) {
        self.spent += time;
    }

    /// The pause before the next attempt; `None` when there have been enough.
    pub(super) fn next_pause(&mut self, limits: &Limits, failed: Failed) -> Option<Duration> {
        if failed.is_closed && !self.was_closed {
            self.was_closed = true;
            return Some(Duration::ZERO);
        }
        self.counted += u32::from(!failed.is_free);
        let pause = backoff(limits, self.repeated).max(failed.retry_after.unwrap_or_default());
        self.repeated += 1;
        self.spent += pause;
        let is_over = self.counted >= limits.attempts || self.spent > Duration::from_millis(limits.total_ms);
        (!is_over).then_some(pause)
    }
}

/// `min(first · 2^retries, longest)`, times a factor from 0.5 to 1 so that clients that failed together do not come back together.
fn backoff(limits: &Limits, retries: u32) -> Duration {
    scaled(limits, retries, random_unit())
}

fn scaled(limits: &Limits, retries: u32, unit: f64) -> Duration {
    let doubled = limits.backoff_first_ms.saturating_mul(1_u64.checked_shl(retries).unwrap_or(u64::MAX));
    Duration::from_millis(doubled.min(limits.backoff_longest_ms)).mul_f64(0.5 + unit / 2.0)
}

/// From 0 to 1.
fn random_unit() -> f64 {
    let mut bytes = [0; 4];
    // Without randomness the factor is the middle one.
    let bytes = SystemRandom::new().fill(&mut bytes).map_or([0x80, 0, 0, 0], |()| bytes);
    f64::from(u32::from_be_bytes(bytes)) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_the_longest_and_scatter_over_their_upper_half() {
        let limits = Limits::default();
        for (retries, longest_ms) in
            [(0, 500), (1, 1_000), (3, 4_000), (4, 8_000), (5, 8_000), (63, 8_000), (4_000, 8_000)]
        {
            assert_eq!(scaled(&limits, retries, 1.0).as_millis(), longest_ms, "{retries}");
            assert_eq!(scaled(&limits, retries, 0.0).as_millis(), longest_ms / 2, "{retries}");
        }
        let pauses: Vec<Duration> = (0..200).map(|_| backoff(&limits, 4)).collect();
        let (shortest, longest) = (pauses.iter().min().unwrap(), pauses.iter().max().unwrap());
        assert!(*shortest >= Duration::from_secs(4) && *longest <= Duration::from_secs(8));
        assert!(*longest - *shortest > Duration::from_secs(2), "{shortest:?} to {longest:?}");
    }
}
