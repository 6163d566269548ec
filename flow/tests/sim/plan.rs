//! What a seed means: how many engines there are, how often things fail, and what each order does.

use billhook_core::chance::Sequence;

/// How often things fail, in thousandths of the operations of the database or of the steps.
#[derive(Debug, Clone, Copy)]
pub struct Rates {
    /// The database does not do it, and says so.
    pub refused: u64,
    /// The database did it, and the answer is lost.
    pub lost: u64,
    /// It takes a while.
    pub slow: u64,
    /// The process dies before or after it, or in a step.
    pub death: u64,
    /// The process stands still for a while and goes on.
    pub freeze: u64,
}

/// All that is decided before anything happens.
#[derive(Debug)]
pub struct Plan {
    pub rates: Rates,
    /// Engines on one database, each with how far its clock is off, in milliseconds.
    pub skews_ms: Vec<i64>,
    pub orders: Vec<Program>,
    /// Things that happen from outside before everything becomes calm.
    pub actions: u64,
    /// Whether clocks are set back.
    pub goes_back: bool,
}

/// What a run does, one operation after the other.
#[derive(Debug, Clone)]
pub struct Program(pub Vec<Operation>);

#[derive(Debug, Clone)]
pub enum Operation {
    Step(StepPlan),
    Transaction(StepPlan),
    Sleep {
        ms: i64,
    },
    Wait {
        ms: i64,
    },
    Send {
        later_ms: Option<i64>,
    },
    Invoke(StepPlan),
    /// The function itself fails so many times.
    Stumble {
        times: u32,
        panics: bool,
    },
    Both(Box<[Operation; 2]>),
}

/// How a step behaves.
#[derive(Debug, Clone)]
pub struct StepPlan {
    /// Attempts that fail.
    pub fails: u32,
    pub retries: u32,
    pub how: Failing,
    pub at_most_once: bool,
    /// Whether its failure is the end of the run.
    pub is_fatal: bool,
    /// How long an attempt takes.
    pub takes_ms: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failing {
    Usual,
    Later,
    Terminal,
    /// It never returns.
    Hangs,
}

impl StepPlan {
    /// Whether it succeeds in the end, if that is certain: with a short time limit, attempts also fail because their process stood still.
    pub fn succeeds(&self) -> Option<bool> {
        let retries = if self.at_most_once { 0 } else { self.retries };
        let succeeds = self.fails == 0 || self.how != Failing::Terminal && self.fails <= retries;
        (!succeeds || self.how != Failing::Hangs).then_some(succeeds)
    }
}

impl Plan {
    pub fn of(chance: &mut Sequence) -> Self {
        let rates = match chance.below(4) {
            0 => Rates { refused: 0, lost: 0, slow: 300, death: 0, freeze: 4 },
            1 => Rates { refused: 30, lost: 30, slow: 200, death: 0, freeze: 0 },
            2 => Rates { refused: 10, lost: 10, slow: 200, death: 8, freeze: 2 },
            _ => Rates { refused: 20, lost: 20, slow: 400, death: 4, freeze: 6 },
        };
        let engines = 1 + chance.below(3);
        let skewed = chance.below(2) == 0;
        let skew_ms = |chance: &mut Sequence| if skewed { signed(chance.below(3_000)) - 1_500 } else { 0 };
        let skews_ms = (0..engines).map(|_| skew_ms(chance)).collect();
        let orders = (0..1 + chance.below(4)).map(|_| Program::of(chance)).collect();
        Self { rates, skews_ms, orders, actions: 10 + chance.below(25), goes_back: chance.below(3) == 0 }
    }
}

impl Program {
    fn of(chance: &mut Sequence) -> Self {
        Self((0..1 + chance.below(5)).map(|_| Operation::of(chance)).collect())
    }
}

impl Operation {
    fn of(chance: &mut Sequence) -> Self {
        match chance.below(16) {
            0 | 1 => Self::Both(Box::new([Self::simple(chance), Self::simple(chance)])),
            2 | 3 => Self::Invoke(StepPlan::of(chance)),
            4 => Self::Stumble { times: 1 + low(chance, 2), panics: chance.below(2) == 0 },
            _ => Self::simple(chance),
        }
    }

    fn simple(chance: &mut Sequence) -> Self {
        match chance.below(12) {
            0 | 1 => Self::Sleep { ms: signed(pause_ms(chance)) },
            2..=4 => Self::Wait { ms: signed(pause_ms(chance)) },
            5 | 6 => Self::Send { later_ms: (chance.below(2) == 0).then(|| signed(pause_ms(chance))) },
            7 | 8 => Self::Transaction(StepPlan { at_most_once: false, ..StepPlan::of(chance) }),
            _ => Self::Step(StepPlan::of(chance)),
        }
    }
}

impl StepPlan {
    fn of(chance: &mut Sequence) -> Self {
        let how = [Failing::Usual, Failing::Later, Failing::Terminal, Failing::Hangs][index(chance, 4)];
        Self {
            fails: low(chance, 3).saturating_sub(low(chance, 2)),
            retries: low(chance, 3),
            how,
            at_most_once: how != Failing::Hangs && chance.below(6) == 0,
            is_fatal: chance.below(3) == 0,
            takes_ms: if chance.below(4) == 0 { chance.below(400) } else { 0 },
        }
    }
}

/// From a moment to some hours.
fn pause_ms(chance: &mut Sequence) -> u64 {
    let longest = [300, 2_000, 20_000, 20_000_000][index(chance, 4)];
    1 + chance.below(longest)
}

fn low(chance: &mut Sequence, bound: u64) -> u32 {
    u32::try_from(chance.below(bound)).unwrap_or_default()
}

pub fn index(chance: &mut Sequence, length: usize) -> usize {
    usize::try_from(chance.below(length as u64)).unwrap_or_default()
}

pub fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}
