//! What shall happen at a later time of the account's clock.

use std::collections::BTreeMap;
use std::fmt;

use super::Account;

type Task = Box<dyn FnOnce(&mut Account) + Send>;

/// Tasks by the time they are due (Unix seconds) and the order of their making.
#[derive(Default)]
pub(super) struct Timers {
    tasks: BTreeMap<(i64, u64), Task>,
    made: u64,
}

impl fmt::Debug for Timers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timers").field("waiting", &self.tasks.len()).finish_non_exhaustive()
    }
}

impl Account {
    /// Does something when the clock shows `at` (Unix seconds); while it runs, [`Account::now`] shows exactly that. What is due
    /// already runs at the next movement of the clock. Tasks of the same second run in the order in which they were made.
    pub fn at(&mut self, at: i64, task: impl FnOnce(&mut Account) + Send + 'static) {
        self.timers.made += 1;
        self.timers.tasks.insert((at, self.timers.made), Box::new(task));
    }

    /// When the next task is due.
    pub fn next_task(&self) -> Option<i64> {
        self.timers.tasks.first_key_value().map(|((at, _), _)| *at)
    }

    /// Moves the clock forward by seconds and does everything that falls due on the way, in order.
    pub fn advance(&mut self, seconds: i64) {
        self.clock.add_ms(seconds.saturating_mul(1_000));
        self.run_due();
    }

    /// Does what is due by now. The clock's own movement calls this; a caller needs it only with a clock that runs by itself.
    pub fn run_due(&mut self) {
        let now_ms = self.clock.running_ms();
        while let Some(entry) = self.timers.tasks.first_entry() {
            let at = entry.key().0;
            if at.saturating_mul(1_000) > now_ms {
                break;
            }
            let task = entry.remove();
            // Never before what was already shown: a task that was late when it was made runs now.
            self.clock.pin(Some(at.saturating_mul(1_000).max(self.shown_ms)));
            self.shown_ms = self.clock.now_ms();
            task(self);
        }
        self.clock.pin(None);
        self.shown_ms = now_ms;
    }
}
