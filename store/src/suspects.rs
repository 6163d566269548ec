//! Which of the runs with which workers died are executed now, and which have to wait for others. Pure: both drivers ask here.
//!
//! Who is put off is held by nobody, so that a worker that dies takes few with it.

use std::cmp::Ordering;

use jiff::SignedDuration;

/// How much later each suspect is due again that has to wait for others: about as long as one of them takes to its first record.
const STEP: SignedDuration = SignedDuration::from_millis(20);

/// Steps by which suspects are put off when none can be given out: half a second, so that a long one costs few looks.
const BUSY_STEPS: usize = 25;

/// What a claim takes of suspects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Suspects {
    /// Workers that died with a run before it is a suspect.
    pub from: u32,
    /// How many suspects may be given out with which just so many died. The others are put off, a little longer one after the other.
    pub few: usize,
    /// The same of those with which more died. None of them is given out together with one of the few.
    pub alone: usize,
}

impl Suspects {
    /// A claim for which no run is a suspect.
    pub const NONE: Self = Self { from: u32::MAX, few: 0, alone: 0 };

    /// For runs in the order of their turns, with how many workers died with each: how much later it is due again, or nothing if it is
    /// given out. What is given out is not there for the next ones that are asked about.
    pub(crate) fn choose(&mut self, deaths: &[u32]) -> Vec<Option<SignedDuration>> {
        // Whoever is to be executed as the only suspect waits for those of which there may be a few.
        if deaths.contains(&self.from) {
            self.alone = 0;
        }
        let (few, alone) = (self.few, self.alone);
        let (mut of_few, mut of_alone) = (0, 0);
        let mut choose = |deaths: &u32| {
            let (free, place) = match deaths.cmp(&self.from) {
                Ordering::Less => return None,
                Ordering::Equal => (few, &mut of_few),
                Ordering::Greater => (alone, &mut of_alone),
            };
            *place += 1;
            let behind = if free == 0 { *place + BUSY_STEPS } else { place.saturating_sub(free) };
            (behind > 0).then(|| STEP * i32::try_from(behind).unwrap_or(i32::MAX))
        };
        let chosen = deaths.iter().map(&mut choose).collect();
        self.few = few.saturating_sub(of_few);
        if of_few > 0 && few > 0 {
            self.alone = 0;
        }
        if of_alone > 0 && alone > 0 {
            (self.few, self.alone) = (0, 0);
        }
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(number: i32) -> Option<SignedDuration> {
        Some(STEP * number)
    }

    #[test]
    fn what_has_not_killed_is_given_out_and_suspects_follow_one_another() {
        let mut suspects = Suspects { from: 2, few: 2, alone: 1 };
        assert_eq!(suspects.choose(&[0, 2, 1, 2, 2, 2]), [None, None, None, None, steps(1), steps(2)]);
        assert_eq!(suspects, Suspects { from: 2, few: 0, alone: 0 });
        assert_eq!(suspects.choose(&[2, 0]), [steps(26), None], "none is left");
    }

    #[test]
    fn the_only_suspect_has_no_company_in_the_next_round_either() {
        let mut suspects = Suspects { from: 2, few: 16, alone: 1 };
        assert_eq!(suspects.choose(&[3, 4, 0]), [None, steps(1), None]);
        assert_eq!(suspects.choose(&[2, 5, 1]), [steps(26), steps(26), None]);
    }

    #[test]
    fn the_few_come_before_the_only_one() {
        let mut suspects = Suspects { from: 2, few: 16, alone: 1 };
        assert_eq!(suspects.choose(&[3, 2, 4]), [steps(26), None, steps(27)]);
    }

    #[test]
    fn without_suspects_nobody_waits() {
        assert_eq!(Suspects::NONE.clone().choose(&[0, 7]), [None, None]);
    }
}
