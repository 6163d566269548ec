//! Notices lists that would never end, or whose pages do not follow each other.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use super::page::Facts;

/// Oddities of one segment before it is given up: one may be an accident between two of Stripe's servers.
const ODDITIES_MAX: u32 = 2;

/// Remembers where a walk has been.
#[derive(Debug, Default)]
pub(super) struct ListGuard {
    /// Hashes of the cursors so far: 8 bytes a page.
    cursors: HashSet<u64>,
    low: Option<i64>,
    oddities: u32,
}

impl ListGuard {
    /// Looks at a page before it counts. `Err` holds what is odd about it.
    pub(super) fn check(&mut self, page: &Facts) -> Result<(), &'static str> {
        if !page.has_more {
            return Ok(());
        }
        let Some(last) = page.ids.last() else {
            return Err("says that it goes on and shows nothing to go on from");
        };
        // Only the cursor depends on the order, so the order of a last page is nobody's business.
        let descends = page.created.is_sorted_by(|newer, older| newer >= older);
        if !descends || self.low.is_some_and(|low| page.created.first().is_some_and(|first| *first > low)) {
            return Err("is not in the order of `created`, newest first");
        }
        let mut hasher = DefaultHasher::new();
        (last, &page.next_url).hash(&mut hasher);
        if !self.cursors.insert(hasher.finish()) {
            return Err("shows the same page again");
        }
        self.low = page.created.last().copied().or(self.low);
        Ok(())
    }

    /// Counts an oddity; `true` when it was one too many.
    pub(super) fn is_too_odd(&mut self) -> bool {
        self.oddities += 1;
        self.oddities >= ODDITIES_MAX
    }

    /// Forgets the way so far: the walk lost its cursor and may meet the last page once more.
    pub(super) fn restart(&mut self) {
        self.cursors.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(ids: &[&str], created: &[i64], has_more: bool) -> Facts {
        let ids = ids.iter().map(|id| (*id).to_owned()).collect();
        Facts { ids, created: created.to_vec(), has_more, next_url: None, livemode: None }
    }

    #[test]
    fn pages_that_follow_each_other_pass() {
        let mut guard = ListGuard::default();
        assert_eq!(guard.check(&page(&["d", "c"], &[9, 9], true)), Ok(()));
        assert_eq!(guard.check(&page(&["b", "a"], &[9, 5], true)), Ok(()));
        assert_eq!(guard.check(&page(&[], &[], false)), Ok(()));
    }

    #[test]
    fn endless_lists_are_noticed() {
        let mut guard = ListGuard::default();
        assert!(guard.check(&page(&[], &[], true)).is_err());
        assert_eq!(guard.check(&page(&["b"], &[], true)), Ok(()));
        assert_eq!(guard.check(&page(&["a"], &[], true)), Ok(()));
        assert!(guard.check(&page(&["b"], &[], true)).is_err(), "a loop of two pages");
    }

    #[test]
    fn a_wrong_order_matters_while_the_list_goes_on() {
        assert!(ListGuard::default().check(&page(&["a", "b"], &[5, 9], true)).is_err());
        assert_eq!(ListGuard::default().check(&page(&["a", "b"], &[5, 9], false)), Ok(()));
        let mut guard = ListGuard::default();
        assert_eq!(guard.check(&page(&["a"], &[5], true)), Ok(()));
        assert!(guard.check(&page(&["b"], &[6], true)).is_err());
    }

    #[test]
    fn the_second_oddity_is_one_too_many() {
        let mut guard = ListGuard::default();
        assert_eq!((guard.is_too_odd(), guard.is_too_odd()), (false, true));
    }
}
