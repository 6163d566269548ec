//! How a stretch of time is cut into slices of `created`, so that progress can be saved often and quiet times cost little.

/// First width of a slice, in seconds.
const WIDTH_SECONDS_START: i64 = 3_600;

/// Least and greatest width, in seconds. Events have whole seconds; a week of a quiet account is a page or two.
const WIDTH_SECONDS: (i64, i64) = (1, 7 * 86_400);

/// A slice with fewer events than this makes the next one twice as wide.
const EVENTS_FEW: u64 = 50;

/// A slice with more pages than this makes the next one half as wide: what a crash repeats stays small.
const PAGES_MANY: u64 = 20;

/// A half-open range of `created`, in Unix seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Slice {
    /// Its first second.
    pub from: i64,
    /// The first second behind it.
    pub to: i64,
}

/// Cuts slices and learns how wide they may be.
#[derive(Debug, Clone)]
pub struct Slices {
    width: i64,
}

impl Default for Slices {
    fn default() -> Self {
        Self { width: WIDTH_SECONDS_START }
    }
}

impl Slices {
    /// The slice that begins at `from` and ends at `end` or earlier; `None` at the end.
    pub fn next(&self, from: i64, end: i64) -> Option<Slice> {
        (from < end).then(|| Slice { from, to: from.saturating_add(self.width).min(end) })
    }

    /// Learns from a slice that was read.
    pub fn learn(&mut self, events: u64, pages: u64) {
        if pages > PAGES_MANY {
            self.width = (self.width / 2).max(WIDTH_SECONDS.0);
        } else if events < EVENTS_FEW {
            self.width = (self.width * 2).min(WIDTH_SECONDS.1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slices_cover_a_stretch_without_gaps() {
        let mut slices = Slices::default();
        let (mut from, end) = (1_000, 1_000 + 30 * 86_400);
        let mut requests = 0;
        while let Some(slice) = slices.next(from, end) {
            assert!(slice.from == from && slice.to > from && slice.to <= end);
            from = slice.to;
            slices.learn(0, 1);
            requests += 1;
        }
        assert_eq!(from, end);
        assert!(requests < 15, "a quiet month took {requests} slices");
    }

    #[test]
    fn a_busy_time_is_cut_down_to_seconds_and_no_further() {
        let mut slices = Slices::default();
        for _ in 0..40 {
            slices.learn(100_000, 1_000);
        }
        assert_eq!(slices.next(5, 100), Some(Slice { from: 5, to: 6 }));
        slices.learn(1_500, 15);
        assert_eq!(slices.next(5, 100), Some(Slice { from: 5, to: 6 }), "a good width stays");
    }
}
