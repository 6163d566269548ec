//! Idle workers take over the lower part of what a walk has still before it.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::page::Facts;
use super::request::PAGE_OBJECTS;
use super::streams::{Created, Stream};
use super::window::Window;

/// The second before which Stripe had no customers: 2010-01-01. Walks without a lower bound are cut as if they ended here; the bound
/// itself is never sent.
const STRIPE_BEGAN: i64 = 1_262_304_000;

/// Pages that a walk must probably still have before it, so that sharing it is worth the page that is not full at its end.
const PAGES_MIN: i64 = 4;

/// Workers of this process that have nothing to do.
#[derive(Debug, Default)]
pub(super) struct Idle(AtomicUsize);

impl Idle {
    pub(super) fn set(&self, workers: usize) {
        self.0.store(workers, Ordering::Relaxed);
    }

    /// Engages one; `false` when all are busy.
    pub(super) fn engage(&self) -> bool {
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |idle| idle.checked_sub(1)).is_ok()
    }
}

/// The second at which a walk is cut in two after this page: what was created before it is for somebody else. `None` when nobody is
/// idle, or when too little is left.
pub(super) fn cut(stream: &Stream, window: Window, page: &Facts, idle: &Idle) -> Option<i64> {
    if stream.created != Created::Seconds || stream.parent.is_some() || !page.has_more {
        return None;
    }
    let (high, low) = (*page.created.first()?, *page.created.last()?);
    let beginning = window.gte.unwrap_or(STRIPE_BEGAN);
    let left = low.checked_sub(beginning).filter(|left| *left >= 2)?;
    // As dense as on this page: objects a second, times the seconds that are left.
    let objects = i64::try_from(page.created.len()).ok()?.saturating_mul(left) / (high - low + 1).max(1);
    let middle = beginning + left / 2;
    (objects >= PAGES_MIN * PAGE_OBJECTS as i64 && idle.engage()).then_some(middle)
}

#[cfg(test)]
mod tests {
    use super::super::streams;
    use super::*;

    fn page(created: &[i64]) -> Facts {
        Facts { ids: Vec::new(), created: created.to_vec(), has_more: true, next_url: None, livemode: None }
    }

    fn cut_of(stream: &str, gte: Option<i64>, created: &[i64], workers: usize) -> Option<i64> {
        let idle = Idle::default();
        idle.set(workers);
        cut(streams::named(stream).unwrap(), Window { gte, lt: None }, &page(created), &idle)
    }

    #[test]
    fn the_older_half_of_what_is_left_is_given_away() {
        assert_eq!(cut_of("customer", Some(1_000), &[5_000, 4_999, 4_998], 1), Some(1_000 + 3_998 / 2));
        assert_eq!(
            cut_of("customer", None, &[1_800_000_000, 1_799_999_000], 1),
            Some((STRIPE_BEGAN + 1_799_999_000) / 2)
        );
    }

    #[test]
    fn nothing_is_given_away_when_it_is_not_worth_it() {
        assert_eq!(cut_of("customer", Some(1_000), &[5_000, 4_999, 4_998], 0), None, "all are busy");
        assert_eq!(cut_of("customer", Some(4_900), &[5_000, 4_999, 4_998], 1), None, "little is left");
        assert_eq!(cut_of("customer", Some(4_998), &[4_998; 100], 1), None, "the second is one that cannot be cut");
        assert_eq!(cut_of("payment_method", None, &[5_000, 4_999, 4_998], 1), None, "the list takes no window");
    }

    #[test]
    fn one_idle_worker_is_engaged_once() {
        let idle = Idle::default();
        idle.set(1);
        assert_eq!((idle.engage(), idle.engage()), (true, false));
    }
}
