//! When a fault happens.

use std::collections::BTreeMap;

use crate::random::Random;

/// How often a fault happens.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Limit {
    /// To the next so many, then no more.
    Next(u64),
    /// To this share of them, between 0 and 1.
    Share(f64),
    /// To this share, and no more than so many times.
    ShareUpTo(f64, u64),
    /// To every one.
    Always,
}

#[derive(Debug)]
struct Rule<F> {
    id: u64,
    prefix: String,
    fault: F,
    share: f64,
    left: u64,
}

/// The faults of one sort.
#[derive(Debug)]
pub(super) struct Rules<F> {
    rules: Vec<Rule<F>>,
    fired: BTreeMap<u64, u64>,
}

impl<F> Default for Rules<F> {
    fn default() -> Self {
        Self { rules: Vec::new(), fired: BTreeMap::new() }
    }
}

impl<F: Clone> Rules<F> {
    pub(super) fn add(&mut self, id: u64, prefix: &str, fault: F, limit: Limit) {
        let (share, left) = match limit {
            Limit::Next(count) => (1.0, count),
            Limit::Share(share) => (share, u64::MAX),
            Limit::ShareUpTo(share, count) => (share, count),
            Limit::Always => (1.0, u64::MAX),
        };
        self.rules.push(Rule { id, prefix: prefix.to_owned(), fault, share, left });
    }

    pub(super) fn is_quiet(&self) -> bool {
        self.rules.is_empty()
    }

    pub(super) fn hit(&mut self, name: &str, random: &mut Random) -> Vec<F> {
        self.hit_relevant(name, |_| true, random)
    }

    /// Draws for every rule that concerns the name.
    pub(super) fn hit_relevant(&mut self, name: &str, relevant: fn(&F) -> bool, random: &mut Random) -> Vec<F> {
        let mut hit = Vec::new();
        for rule in &mut self.rules {
            let concerned = name.starts_with(&rule.prefix) && relevant(&rule.fault) && rule.left > 0;
            if concerned && (rule.share >= 1.0 || random.chance(rule.share)) {
                rule.left -= 1;
                *self.fired.entry(rule.id).or_default() += 1;
                hit.push(rule.fault.clone());
            }
        }
        self.rules.retain(|rule| rule.left > 0);
        hit
    }

    pub(super) fn fired(&self, id: u64) -> u64 {
        self.fired.get(&id).copied().unwrap_or(0)
    }

    pub(super) fn end(&mut self, id: u64) {
        self.rules.retain(|rule| rule.id != id);
    }

    pub(super) fn end_all(&mut self) {
        self.rules.clear();
    }
}
