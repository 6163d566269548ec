//! Reads the text of `/metrics` and compares two readings.

use std::collections::BTreeMap;

/// One reading: every sample by its name with labels, as written.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reading(BTreeMap<String, f64>);

impl Reading {
    /// Takes every line that is a sample; comments and what is not understood are passed over.
    pub fn parse(text: &str) -> Self {
        let sample = |line: &str| {
            if line.starts_with('#') {
                return None;
            }
            // Labels may hold spaces, so the name ends at the closing brace when there is one.
            let end = line.find('}').map(|at| at + 1).or_else(|| line.find(' '))?;
            let (name, rest) = line.split_at(end);
            Some((name.to_owned(), rest.split_whitespace().next()?.parse().ok()?))
        };
        Self(text.lines().filter_map(sample).collect())
    }

    /// The sample with exactly this name and labels, 0 when there is none: `billhook_applied_total`.
    pub fn get(&self, name: &str) -> f64 {
        self.0.get(name).copied().unwrap_or(0.0)
    }

    /// Sum of all samples of this name whatever their labels.
    pub fn sum(&self, name: &str) -> f64 {
        let of_name = |key: &str| key == name || key.strip_prefix(name).is_some_and(|rest| rest.starts_with('{'));
        self.0.iter().filter(|(key, _)| of_name(key)).map(|(_, value)| value).sum()
    }

    /// The share `quantile` (0 to 1) of what a histogram counted since `earlier`, linear inside its bucket. `None` when
    /// nothing was counted; the last finite bound when the value lies beyond it.
    pub fn quantile_since(&self, earlier: &Self, histogram: &str, quantile: f64) -> Option<f64> {
        let prefix = format!("{histogram}_bucket{{le=\"");
        let mut buckets: Vec<(f64, f64)> = self
            .0
            .iter()
            .filter_map(|(key, value)| {
                let bound = key.strip_prefix(&prefix)?.split('"').next()?;
                let bound = if bound == "+Inf" { f64::INFINITY } else { bound.parse().ok()? };
                Some((bound, value - earlier.get(key)))
            })
            .collect();
        buckets.sort_by(|left, right| left.0.total_cmp(&right.0));
        let total = buckets.last()?.1;
        if total <= 0.0 {
            return None;
        }
        let wanted = total * quantile;
        let mut below = (0.0, 0.0);
        for (bound, count) in buckets {
            if count >= wanted {
                if bound.is_infinite() || count <= below.1 {
                    return Some(below.0);
                }
                return Some(below.0 + (bound - below.0) * (wanted - below.1) / (count - below.1));
            }
            below = (bound, count);
        }
        Some(below.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_sums_and_quantiles() {
        let earlier =
            Reading::parse("lag_bucket{le=\"1.0\"} 10\nlag_bucket{le=\"2.0\"} 10\nlag_bucket{le=\"+Inf\"} 10\n");
        let later = Reading::parse(
            "# HELP x\napplied_total 7\nd_total{outcome=\"a b\"} 2\nd_total{outcome=\"c\"} 3\n\
             lag_bucket{le=\"1.0\"} 60\nlag_bucket{le=\"2.0\"} 110\nlag_bucket{le=\"+Inf\"} 110\n",
        );
        assert_eq!(later.get("applied_total"), 7.0);
        assert_eq!(later.sum("d_total"), 5.0);
        assert_eq!(later.quantile_since(&earlier, "lag", 0.5), Some(1.0));
        assert_eq!(later.quantile_since(&earlier, "lag", 0.75), Some(1.5));
        assert_eq!(later.quantile_since(&later, "lag", 0.5), None);
    }
}
