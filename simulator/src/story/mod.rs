//! A small company's life: customers come, pay, fail, come back and leave.
//!
//! The story is told by timers of the account's clock, every simulated hour, so that it is the same for the same seed however the clock is
//! moved. [`Storm`] is the other way to fill an account: many changes in a short time, for tests.

mod company;
mod hour;
mod narrate;
mod people;
mod storm;

use std::sync::{Arc, Mutex, PoisonError};

use crate::account::Account;
use crate::account::collection::Place;
use crate::business::calendar::{HOUR, long_date};
use crate::random::Random;
use company::Company;
use people::Person;

pub use storm::{Storm, storm};

/// Something that happened, in plain words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// When, in Unix seconds of the account's clock.
    pub at: i64,
    /// E.g. `Ada Brandt subscribed to Pro monthly (€29.00), trial until 3 March`.
    pub text: String,
}

impl Line {
    /// The day, as `3 March 2026`.
    pub fn day(&self) -> String {
        long_date(self.at)
    }
}

/// The story of one company. The same seed tells the same story on accounts that were made with the same options.
#[derive(Debug)]
pub struct Story {
    plot: Arc<Mutex<Plot>>,
}

/// What the story remembers.
#[derive(Debug)]
struct Plot {
    random: Random,
    company: Option<Company>,
    people: Vec<Person>,
    /// The last event that was told.
    told: Option<Place>,
    lines: Vec<Line>,
}

impl Story {
    /// A story that has not begun.
    pub fn new(seed: u64) -> Self {
        let plot = Plot { random: Random::new(seed), company: None, people: Vec::new(), told: None, lines: Vec::new() };
        Self { plot: Arc::new(Mutex::new(plot)) }
    }

    /// Lets the story go on until the account's present time, and tells what happened since the last call. The first call founds the
    /// company.
    pub fn step(&mut self, account: &mut Account) -> Vec<Line> {
        let begins = lock(&self.plot).company.is_none();
        if begins {
            let mut plot = lock(&self.plot);
            let founded = Company::found(account);
            plot.lines.push(Line { at: account.now(), text: founded.opening() });
            plot.company = Some(founded);
            plot.told = account.log.snapshots.last_key_value().map(|(place, _)| *place);
            drop(plot);
            plan_hour(account, Arc::clone(&self.plot));
        }
        account.run_due();
        let mut plot = lock(&self.plot);
        narrate::tell(&mut plot, account);
        std::mem::take(&mut plot.lines)
    }

    /// Moves the account's clock forward by days while the story goes on, and tells what happened.
    pub fn run(&mut self, account: &mut Account, days: u32) -> Vec<Line> {
        let mut lines = self.step(account);
        for _ in 0..days {
            account.advance(24 * HOUR);
            lines.extend(self.step(account));
        }
        lines
    }
}

/// A panic in a test that holds the lock has been reported already.
fn lock(plot: &Mutex<Plot>) -> std::sync::MutexGuard<'_, Plot> {
    plot.lock().unwrap_or_else(PoisonError::into_inner)
}

fn plan_hour(account: &mut Account, plot: Arc<Mutex<Plot>>) {
    let next = account.now() + HOUR;
    account.at(next, move |account| {
        lock(&plot).hour(account);
        plan_hour(account, plot);
    });
}
