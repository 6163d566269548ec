//! When a failed attempt is made again.

use jiff::SignedDuration;

/// Retries of a step unless its function or the step itself says otherwise: five attempts in all.
pub const RETRIES_DEFAULT: u32 = 4;

/// Most retries. With the default pauses the last one comes a day after the first attempt, which is as long as Stripe keeps an
/// idempotency key for sure.
pub const RETRIES_MAX: u32 = 20;

/// Pauses before the first, second, … retry, in seconds; the last one stands for all that follow.
const PAUSE_SECONDS: [i64; 10] = [15, 30, 60, 120, 300, 600, 1_200, 2_400, 3_600, 7_200];

/// Most of the random addition to a pause, in milliseconds, so that what failed together does not come back together.
const JITTER_MS_MAX: u64 = 30_000;

/// The least and the most that a function or a server may ask to wait: less would be a hot loop, more a forgotten run.
const ASKED: (SignedDuration, SignedDuration) = (SignedDuration::from_secs(1), SignedDuration::from_hours(24));

/// How long to pause between attempts of one step.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Backoff {
    /// 15 s, 30 s, 1 min, 2 min, 5 min, 10 min, 20 min, 40 min, 1 h, 2 h, then 2 h, each with up to 30 s of chance.
    #[default]
    Table,
    /// The same pause each time.
    Fixed(SignedDuration),
    /// These pauses; the last one stands for all that follow. An empty list counts as [`Backoff::Table`].
    List(Vec<SignedDuration>),
}

impl Backoff {
    /// The pause before retry number `retry`, counted from 0, never less than a second. `chance` is any random number.
    pub fn pause(&self, retry: u32, chance: u64) -> SignedDuration {
        let at = usize::try_from(retry).unwrap_or(usize::MAX);
        let pause = match self {
            Self::Fixed(pause) => *pause,
            Self::List(pauses) if !pauses.is_empty() => pauses[at.min(pauses.len() - 1)],
            Self::Table | Self::List(_) => {
                let jitter_ms = i64::try_from(chance % (JITTER_MS_MAX + 1)).unwrap_or_default();
                let seconds = PAUSE_SECONDS[at.min(PAUSE_SECONDS.len() - 1)];
                SignedDuration::from_secs(seconds).saturating_add(SignedDuration::from_millis(jitter_ms))
            }
        };
        pause.max(ASKED.0)
    }
}

/// A pause that a function or a server asked for, between one second and one day.
pub fn asked_pause(pause: SignedDuration) -> SignedDuration {
    pause.clamp(ASKED.0, ASKED.1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_table_ends_after_a_day_with_most_retries() {
        let total: i64 = (0..RETRIES_MAX).map(|retry| Backoff::Table.pause(retry, 0).as_secs()).sum();
        assert_eq!(total, 87_525, "24 h 18 min 45 s, which crosses the life of Stripe's idempotency keys");
        assert_eq!(Backoff::Table.pause(0, JITTER_MS_MAX), SignedDuration::from_secs(45));
    }

    #[test]
    fn lists_go_on_with_their_last_pause_and_none_is_shorter_than_a_second() {
        let list = Backoff::List(vec![SignedDuration::ZERO, SignedDuration::from_secs(7)]);
        assert_eq!([0, 1, 9].map(|retry| list.pause(retry, 5).as_secs()), [1, 7, 7]);
        assert_eq!(Backoff::List(Vec::new()).pause(3, 0).as_secs(), 120);
        assert_eq!(Backoff::Fixed(SignedDuration::from_secs(-5)).pause(0, 0).as_secs(), 1);
    }

    proptest! {
        #[test]
        fn a_pause_of_the_table_lies_within_its_jitter(retry in 0_u32..100, chance: u64) {
            let least = Backoff::Table.pause(retry, 0);
            let pause = Backoff::Table.pause(retry, chance);
            prop_assert!(pause >= least && pause <= least + SignedDuration::from_secs(30));
        }

        #[test]
        fn what_is_asked_for_is_bounded(seconds: i64) {
            let pause = asked_pause(SignedDuration::from_secs(seconds));
            prop_assert!(pause >= ASKED.0 && pause <= ASKED.1);
        }
    }
}
