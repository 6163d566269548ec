//! Windows over `created`.

/// A half-open window `[gte, lt)` over `created`, in Unix seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Window {
    /// The least `created` inside; `None` from the beginning.
    pub gte: Option<i64>,
    /// The first `created` behind it; `None` without an end.
    pub lt: Option<i64>,
}

/// The four comparisons of the HTTP contract and of Stripe's own filters, in Unix seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CreatedFilter {
    /// Greater than.
    pub gt: Option<i64>,
    /// Greater than or equal to.
    pub gte: Option<i64>,
    /// Less than.
    pub lt: Option<i64>,
    /// Less than or equal to.
    pub lte: Option<i64>,
}

impl From<CreatedFilter> for Window {
    fn from(filter: CreatedFilter) -> Self {
        let after = filter.gt.map(|gt| gt.saturating_add(1));
        let until = filter.lte.map(|lte| lte.saturating_add(1));
        Self { gte: after.into_iter().chain(filter.gte).max(), lt: until.into_iter().chain(filter.lt).min() }
    }
}

impl Window {
    /// From a moment on.
    pub fn since(gte: i64) -> Self {
        Self { gte: Some(gte), lt: None }
    }

    /// Whether nothing can lie inside.
    pub fn is_empty(&self) -> bool {
        matches!((self.gte, self.lt), (Some(gte), Some(lt)) if gte >= lt)
    }

    /// Whether everything lies inside.
    pub fn is_open(&self) -> bool {
        self.gte.is_none() && self.lt.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_comparison_becomes_a_half_open_window() {
        let window = |gt, gte, lt, lte| Window::from(CreatedFilter { gt, gte, lt, lte });
        assert_eq!(window(Some(5), None, None, Some(9)), Window { gte: Some(6), lt: Some(10) });
        assert_eq!(window(Some(5), Some(7), Some(9), Some(9)), Window { gte: Some(7), lt: Some(9) });
        assert!(window(None, None, None, None).is_open());
        assert!(window(Some(5), None, Some(6), None).is_empty());
        assert!(!window(None, Some(5), None, Some(5)).is_empty(), "one second");
        assert_eq!(window(Some(i64::MAX), None, None, Some(i64::MAX)).gte, Some(i64::MAX));
    }
}
