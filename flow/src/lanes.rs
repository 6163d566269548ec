//! The order in which runs begin: fair between lanes, whatever floods one of them.
//!
//! Start-time fair queueing (Goyal, Vin, Cheng 1996). A run's rank is a point on a clock that the claimed runs move: the rank of the last run of
//! its lane and one turn, or where the clock stands when the lane has nothing waiting. So the runs of a lane that floods stand behind each
//! other, and the only run of another lane stands before nearly all of them.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use billhook_store::ClaimedRun;
use jiff::Timestamp;

use crate::engine::shown;
use crate::expression::{Expression, Scope};

/// How far a run moves its lane, in milliseconds of the ranks' clock. It is also what a second of priority is measured by.
const TURN_MS: i64 = 1_000;

/// The most that a priority moves a run, in seconds: twelve hours.
const PRIORITY_MAX: f64 = 43_200.0;

/// Most lanes that are remembered. More share no turns among their own until the clock has passed some.
const LANES_MAX: usize = 10_000;

/// The lanes of one process. Others have their own; what they claim moves the clocks of all.
#[derive(Debug, Default)]
pub(crate) struct Lanes(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// The greatest rank that was claimed.
    clock: i64,
    /// Of each lane the rank given last.
    last: HashMap<String, i64>,
}

impl Lanes {
    /// The rank of a new run of a lane, this much before its turn.
    pub(crate) fn rank(&self, lane: &str, priority_ms: i64, now: Timestamp) -> i64 {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let clock = state.clock.max(now.as_millisecond());
        let turn = match state.last.get_mut(lane) {
            Some(last) => {
                *last = clock.max(last.saturating_add(TURN_MS));
                *last
            }
            None => {
                state.remember(lane, clock);
                clock
            }
        };
        turn.saturating_sub(priority_ms)
    }

    /// A run of this rank, which lies so much before its turn, was claimed. The clock goes by turns, or whoever is late on purpose would move
    /// it ahead of everybody, and whoever is urgent would fall behind by what made him so.
    pub(crate) fn claimed(&self, rank: i64, priority_ms: i64) {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        state.clock = state.clock.max(rank.saturating_add(priority_ms));
    }
}

/// What makes runs of some functions begin before or after their turn.
#[derive(Debug, Default)]
pub(crate) struct Priorities(pub(crate) HashMap<String, Expression>);

impl Priorities {
    /// How much before its turn a run stands, in milliseconds.
    pub(crate) fn milliseconds(&self, run: &ClaimedRun) -> i64 {
        let Some(priority) = self.0.get(&run.function) else { return 0 };
        let event = shown(&run.event);
        milliseconds(priority, &Scope { event: &event, other: None, now: run.created_at })
    }
}

/// What a priority says of a run, in milliseconds. One that cannot be evaluated says nothing.
pub(crate) fn milliseconds(priority: &Expression, scope: &Scope<'_>) -> i64 {
    let seconds = priority.evaluate(scope).ok().and_then(|value| value.as_f64()).unwrap_or_default();
    // Within a range that every integer holds.
    (seconds.clamp(-PRIORITY_MAX, PRIORITY_MAX) * 1_000.0) as i64
}

impl State {
    fn remember(&mut self, lane: &str, clock: i64) {
        if self.last.len() >= LANES_MAX {
            // Those have nothing waiting: their next run stands where the clock does in any case.
            self.last.retain(|_, last| last.saturating_add(TURN_MS) > clock);
        }
        if self.last.len() < LANES_MAX {
            self.last.insert(lane.to_owned(), clock);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_lane_that_floods_stands_behind_itself() {
        let lanes = Lanes::default();
        let flood: Vec<i64> = (0..1_000).map(|_| lanes.rank("a", 0, at(100))).collect();
        assert!(flood.is_sorted_by(|one, next| one < next));
        let alone = lanes.rank("b", 0, at(105));
        assert_eq!(flood.iter().filter(|rank| **rank <= alone).count(), 6);
    }

    #[test]
    fn a_lane_that_was_busy_for_long_owes_nothing() {
        let lanes = Lanes::default();
        for _ in 0..10_000 {
            let rank = lanes.rank("a", 0, at(100));
            lanes.claimed(rank, 0);
        }
        let (busy, flood) = (lanes.rank("a", 0, at(101)), [(); 10].map(|()| lanes.rank("b", 0, at(101))));
        assert!(flood[2] > busy, "{busy} {flood:?}");
    }

    #[test]
    fn priority_is_seconds_before_others() {
        let lanes = Lanes::default();
        let usual = lanes.rank("a", 0, at(100));
        assert!(lanes.rank("b", 60_000, at(159)) < usual);
        assert!(lanes.rank("c", 60_000, at(161)) > usual);
    }

    #[test]
    fn who_is_urgent_stays_so_and_who_can_wait_keeps_nobody_waiting() {
        let lanes = Lanes::default();
        for _ in 0..1_000 {
            let urgent = lanes.rank("urgent", 60_000, at(100));
            lanes.claimed(urgent, 60_000);
        }
        assert!(lanes.rank("urgent", 60_000, at(100)) < lanes.rank("usual", 0, at(100)));
        let late = lanes.rank("late", -43_200_000, at(100));
        lanes.claimed(late, -43_200_000);
        assert!(lanes.rank("another", 0, at(100)) < late, "nobody else is twelve hours late now");
    }

    #[test]
    fn lanes_are_bounded() {
        let lanes = Lanes::default();
        for number in 0..3 * LANES_MAX {
            lanes.rank(&number.to_string(), 0, at(100));
        }
        assert_eq!(lanes.0.lock().unwrap().last.len(), LANES_MAX);
        lanes.rank("later", 0, at(1_000));
        assert_eq!(lanes.0.lock().unwrap().last.len(), 1);
    }
}
