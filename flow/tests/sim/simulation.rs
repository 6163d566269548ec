//! One seed from its beginning to its end.

use std::time::Duration;

use billhook_core::chance::{Sequence, seed_this_thread};
use tokio::task::LocalSet;

use crate::database::Template;
use crate::driver::Driver;
use crate::oracle;
use crate::plan::Plan;
use crate::world::World;

/// The longest time of the runtime that a seed may take.
const LONGEST: Duration = Duration::from_secs(3_600);

/// Runs seeds, one after the other.
pub struct Simulator {
    template: Template,
}

/// What happened.
pub struct History {
    pub seed: u64,
    pub lines: Vec<String>,
    pub violation: Option<String>,
    pub digest: u64,
}

impl Simulator {
    pub fn new() -> Self {
        Self { template: Template::new() }
    }

    pub fn run(&self, seed: u64) -> History {
        let copy = self.template.copy(seed);
        let _seeded = seed_this_thread(!seed);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        LocalSet::new().block_on(&runtime, async {
            let mut chance = Sequence::new(seed);
            let plan = Plan::of(&mut chance);
            let world = World::new(plan, copy.open(), chance);
            if tokio::time::timeout(LONGEST, Driver::new(&world).run()).await.is_err() {
                world.violate(format!("it did not end within {LONGEST:?}"));
            }
            if world.state().violation.is_none() {
                oracle::check(&world).await;
            }
            let digest = world.digest();
            let mut state = world.state();
            History { seed, lines: std::mem::take(&mut state.history), violation: state.violation.take(), digest }
        })
    }
}

impl History {
    /// What is wrong, with all that happened and how to see it again.
    pub fn verdict(&self) -> Result<(), String> {
        let Self { seed, lines, violation, .. } = self;
        let Some(violation) = violation else { return Ok(()) };
        let lines = lines.join("\n");
        Err(format!("{lines}\nseed {seed}: {violation}\nreplay it with: cargo xtask sim --seed {seed}"))
    }
}
