//! The rate and the concurrency of what shares one limit: everything, one endpoint, or the background's share. Pure: time is
//! passed in.
//!
//! The rate adapts. When Stripe turns requests away the rate falls at once to just under what was accepted, and then grows slowly,
//! because each probe above the limit costs somebody a refused request.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

/// The window over which a rate holds.
const WINDOW: Duration = Duration::from_secs(1);

/// Stripe counts requests when they arrive, and one may travel longer than the next: it counts as arriving up to this long after it
/// was sent, until its answer says more. Longer would let slow answers lower the rate.
const JOURNEY_MAX: Duration = Duration::from_millis(500);

/// How far behind its pace a scope may be and catch up, so that timers that fire late do not lower the rate.
const SLACK: Duration = Duration::from_millis(20);

/// Rate after a fall, of the rate that was accepted.
const UNDER_ACCEPTED: f64 = 0.95;

/// Factor of a fall when the limit was only just touched while growing.
const TOUCHED: f64 = 0.93;

/// Factor of a fall soon after another, and how soon that is.
const TOUCHED_AGAIN: (f64, Duration) = (0.8, Duration::from_secs(2));

/// Factor of a fall when nothing was accepted since the last.
const NOTHING_ACCEPTED: f64 = 0.6;

/// Growth since the last fall up to which a refusal means that the limit was touched, not that it became another.
const STILL_NEAR: f64 = 1.3;

/// Most that one fall divides the rate by: what little was accepted of little that was asked says little.
const FALL_MAX: f64 = 8.0;

/// Least rate, in requests per second.
const RATE_MIN: f64 = 0.1;

/// Growth a second near the limit, for rates from [`FULL_GROWTH_FROM`] on; slower rates grow in proportion, so that there are
/// always about 20 accepted requests between two refusals.
const GROWTH: f64 = 0.02;

/// See [`GROWTH`], in requests per second.
const FULL_GROWTH_FROM: f64 = 8.0;

/// Growth a second when nothing was refused for [`CALM`]: the limit has risen.
const GROWTH_CALM: f64 = 0.10;

/// See [`GROWTH_CALM`].
const CALM: Duration = Duration::from_secs(30);

/// A learned rate above this, in requests per second, is given up where none is configured.
const RATE_FORGOTTEN: f64 = 20_000.0;

/// Most requests at once: Stripe limits concurrency too, at numbers it does not publish.
pub(super) const CONCURRENT_MAX: u32 = 64;

/// Time until one more request at once is tried after Stripe complained of concurrency.
const CONCURRENT_GROWTH: Duration = Duration::from_secs(10);

/// What an answer says about the limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    /// It was let through.
    Accepted,
    /// There were too many in too short a time.
    TooFast,
    /// There were too many at once.
    TooMany,
    /// Nothing.
    Silent,
}

/// When a scope takes a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ready {
    /// From this instant on; it may have passed.
    At(Instant),
    /// When another one has ended.
    WhenOneEnds,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Scope {
    /// Configured, in requests per second.
    most: Option<f64>,
    /// At present; `None` is no limit.
    rate: Option<f64>,
    /// The pace: no request before this.
    next: Instant,
    /// `Retry-After`.
    held_until: Instant,
    /// When the requests of the last [`WINDOW`] arrived at the latest, in order.
    arrived: VecDeque<Instant>,
    /// The shortest time to an accepted answer. What a request takes longer than that it may have spent on its way.
    fastest: Option<Duration>,
    /// Accepted answers of the last [`WINDOW`].
    accepted: VecDeque<Instant>,
    /// The last fall of the rate.
    fall: Option<Fall>,
    grown_at: Instant,
    in_flight: u32,
    at_once_max: u32,
    at_once_changed_at: Instant,
    /// Counts falls: an answer to a request from before a fall says nothing about the rate after it.
    epoch: u64,
}

#[derive(Debug)]
struct Fall {
    at: Instant,
    /// The rate after it.
    level: f64,
    accepted_since: u64,
}

impl Scope {
    /// A scope that allows `most` requests per second.
    pub(super) fn new(most: Option<f64>, now: Instant) -> Self {
        Self {
            most,
            rate: most,
            next: now,
            held_until: now,
            arrived: VecDeque::new(),
            fastest: None,
            accepted: VecDeque::new(),
            fall: None,
            grown_at: now,
            in_flight: 0,
            at_once_max: CONCURRENT_MAX,
            at_once_changed_at: now,
            epoch: 0,
        }
    }

    /// The present rate in requests per second.
    pub(super) fn rate(&self) -> Option<f64> {
        self.rate
    }

    /// Changes the configured rate.
    pub(super) fn configure(&mut self, most: f64) {
        if self.most != Some(most) {
            self.most = Some(most);
            self.rate = Some(self.rate.map_or(most, |rate| if self.fall.is_some() { rate.min(most) } else { most }));
        }
    }

    /// When the next request may go.
    pub(super) fn ready(&mut self, now: Instant) -> Ready {
        self.grow(now);
        if self.in_flight >= self.at_once_max {
            return Ready::WhenOneEnds;
        }
        let mut at = self.held_until;
        if let Some(rate) = self.rate {
            at = at.max(self.next);
            forget_old(&mut self.arrived, now);
            let window_max = requests_in_window(rate);
            if let Some(oldest) = self.arrived.len().checked_sub(window_max).and_then(|at| self.arrived.get(at)) {
                at = at.max(*oldest + WINDOW);
            }
        }
        Ready::At(at)
    }

    /// Counts a request that goes now; returns the epoch for [`Self::ended`].
    pub(super) fn begin(&mut self, now: Instant) -> u64 {
        self.in_flight += 1;
        if let Some(rate) = self.rate {
            let due = now.checked_sub(SLACK).map_or(self.next, |earliest| self.next.max(earliest));
            self.next = due + Duration::from_secs_f64(1.0 / rate);
        }
        // Also without a rate: there may be one a moment later.
        forget_old(&mut self.arrived, now);
        self.arrived.push_back(now + JOURNEY_MAX);
        self.epoch
    }

    /// Learns from the end of a request that began at `began` in `epoch` and travelled for `journey`.
    pub(super) fn ended(&mut self, now: Instant, (began, journey): (Instant, Duration), epoch: u64, sign: Sign) {
        self.grow(now);
        self.settle(began, journey);
        let at_once = self.in_flight;
        self.in_flight = at_once.saturating_sub(1);
        match sign {
            Sign::Silent => {}
            Sign::Accepted => {
                forget_old(&mut self.accepted, now);
                self.accepted.push_back(now);
                if epoch == self.epoch
                    && let Some(fall) = &mut self.fall
                {
                    fall.accepted_since += 1;
                }
            }
            Sign::TooFast if epoch == self.epoch => self.fall(now),
            Sign::TooMany if epoch == self.epoch => {
                self.at_once_max = (at_once * 3 / 4).min(self.at_once_max - 1).max(1);
                self.at_once_changed_at = now;
                self.epoch += 1;
            }
            Sign::TooFast | Sign::TooMany => {}
        }
    }

    /// How long a request of this scope, answered after `duration`, was on its way at most: what it took longer than the fastest.
    pub(super) fn journey(&mut self, duration: Duration, is_accepted: bool) -> Duration {
        // The first says nothing of how long answers take: it has opened the connection as well.
        let journey = duration.saturating_sub(self.fastest.unwrap_or_default()).min(JOURNEY_MAX);
        if is_accepted {
            self.fastest = Some(self.fastest.map_or(duration, |fastest| fastest.min(duration)));
        }
        journey
    }

    /// Counts a request where it arrived at the latest.
    fn settle(&mut self, began: Instant, journey: Duration) {
        if let Ok(place) = self.arrived.binary_search(&(began + JOURNEY_MAX)) {
            self.arrived.remove(place);
            let arrived = began + journey;
            self.arrived.insert(self.arrived.partition_point(|other| *other <= arrived), arrived);
        }
    }

    /// Sends nothing before `until`.
    pub(super) fn hold(&mut self, until: Instant) {
        self.held_until = self.held_until.max(until);
    }

    fn fall(&mut self, now: Instant) {
        forget_old(&mut self.accepted, now);
        let accepted = self.accepted.len() as f64 / WINDOW.as_secs_f64();
        let rate = self.rate.unwrap_or_else(|| accepted.max(1.0) * UNDER_ACCEPTED * FALL_MAX);
        let fallen = match &self.fall {
            Some(last) if last.accepted_since == 0 => rate * NOTHING_ACCEPTED,
            Some(last) if rate <= last.level * STILL_NEAR => {
                let is_again = now.duration_since(last.at) < TOUCHED_AGAIN.1;
                rate * if is_again { TOUCHED_AGAIN.0 } else { TOUCHED }
            }
            _ => (accepted * UNDER_ACCEPTED).clamp(rate / FALL_MAX, rate * UNDER_ACCEPTED),
        };
        let level = fallen.max(RATE_MIN);
        self.rate = Some(level);
        self.fall = Some(Fall { at: now, level, accepted_since: 0 });
        self.next = self.next.max(now + Duration::from_secs_f64(1.0 / level));
        self.epoch += 1;
    }

    fn grow(&mut self, now: Instant) {
        if self.at_once_max < CONCURRENT_MAX && now.duration_since(self.at_once_changed_at) >= CONCURRENT_GROWTH {
            self.at_once_max += 1;
            self.at_once_changed_at = now;
        }
        let (Some(rate), Some(fall)) = (self.rate, &self.fall) else {
            self.grown_at = now;
            return;
        };
        let seconds = now.duration_since(self.grown_at).as_secs_f64();
        let calm = now.duration_since(fall.at) >= CALM;
        let growth = if calm { GROWTH_CALM } else { GROWTH * (rate / FULL_GROWTH_FROM).min(1.0) };
        let grown = rate * (1.0 + growth).powf(seconds);
        self.grown_at = now;
        match self.most {
            Some(most) if grown >= most => (self.rate, self.fall) = (Some(most), None),
            None if grown >= RATE_FORGOTTEN => (self.rate, self.fall) = (None, None),
            _ => self.rate = Some(grown),
        }
    }
}

/// Requests that a window may hold at a rate. Rounded up: below the next whole number it is the pace that limits.
fn requests_in_window(rate: f64) -> usize {
    // Rates are positive and far below 2^52.
    (rate * WINDOW.as_secs_f64()).ceil().max(1.0) as usize
}

/// Leaves what happened within the window that ends now.
fn forget_old(instants: &mut VecDeque<Instant>, now: Instant) {
    while instants.front().is_some_and(|first| now.duration_since(*first) >= WINDOW) {
        instants.pop_front();
    }
}
