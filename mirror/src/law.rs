//! The ordering law inside one second.
//!
//! Stripe's `event.created` has whole seconds, and several changes of one object within a second are common. Between seconds
//! the database's guard decides. Inside one, [`resolve`] looks at all events of that second at once, so that its answer depends
//! on the set of events and not on the order in which they arrived.

use billhook_core::row::{Rank, Version};
use serde_json::Value;

/// The place of a read in the history of an object. `read_at` is the second in which it began at Stripe, at the latest.
///
/// The answer shows everything that happened before that second began, and perhaps some of what happened inside it. So it stands
/// behind the events of the second before, and events of its own second stay newer: each of them describes a state that is at least
/// as new as what the read is sure to have seen.
pub fn read_version(read_at: i64) -> Version {
    Version { time: read_at.saturating_sub(1), rank: Rank::Read }
}

/// One event of the deciding second.
#[derive(Debug, Clone)]
pub struct Candidate {
    /// The event.
    pub event_id: String,
    /// Its type.
    pub event_type: String,
    /// Kind of the object (`subscription`).
    pub object_kind: String,
    /// The object as the event carries it.
    pub object: Value,
    /// `data.previous_attributes`.
    pub previous_attributes: Option<Value>,
    /// Whether the event deletes the object.
    pub deletion: bool,
}

/// Which state stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Resolution {
    /// Position of the winner among the candidates.
    pub winner: usize,
    /// Whether the evidence left a doubt: the object has to be read again.
    pub ambiguous: bool,
}

/// Decides which of the events of one object and one second describes the latest state.
///
/// Events with equal objects count as one state. A state precedes another when the evidence says so (see `precedes`). The
/// state that all others lead to wins. Without such a state the choice is a fixed one and `ambiguous` is set.
///
/// `candidates` must not be empty.
pub fn resolve(candidates: &[Candidate]) -> Resolution {
    let states = distinct_states(candidates);
    let edges: Vec<Vec<usize>> = (0..states.len())
        .map(|from| (0..states.len()).filter(|&to| from != to && precedes(&states[from], &states[to])).collect())
        .collect();
    let last: Vec<usize> = (0..states.len()).filter(|&state| edges[state].is_empty()).collect();
    if let [only] = last[..]
        && all_lead_to(only, &edges)
    {
        return Resolution { winner: states[only].representative(), ambiguous: false };
    }
    let choice = if last.is_empty() { (0..states.len()).collect() } else { last };
    let winner = choice
        .into_iter()
        .max_by_key(|&state| {
            let state = &states[state];
            (state.deletes(), state.terminal(), &candidates[state.representative()].event_id)
        })
        .map_or(0, |state| states[state].representative());
    Resolution { winner, ambiguous: true }
}

/// Events that carry the same object, in descending order of event id.
struct State<'a> {
    members: Vec<(usize, &'a Candidate)>,
}

impl State<'_> {
    fn object(&self) -> &Value {
        &self.members[0].1.object
    }

    fn representative(&self) -> usize {
        self.members[0].0
    }

    fn deletes(&self) -> bool {
        self.members.iter().any(|(_, candidate)| candidate.deletion)
    }

    fn creates(&self) -> bool {
        self.members.iter().any(|(_, candidate)| candidate.event_type.ends_with(".created"))
    }

    fn terminal(&self) -> bool {
        self.members.iter().any(|(_, candidate)| is_terminal(&candidate.object_kind, &candidate.object))
    }

    /// Whether one of the events says that it changed `before` into this state.
    fn succeeds(&self, before: &Value) -> bool {
        self.members.iter().any(|(_, candidate)| match &candidate.previous_attributes {
            Some(previous @ Value::Object(changed)) if !changed.is_empty() => matches_previous(previous, before),
            _ => false,
        })
    }
}

fn distinct_states(candidates: &[Candidate]) -> Vec<State<'_>> {
    let mut order: Vec<usize> = (0..candidates.len()).collect();
    order.sort_by(|&a, &b| candidates[b].event_id.cmp(&candidates[a].event_id));
    let mut states: Vec<State<'_>> = Vec::new();
    for position in order {
        let candidate = &candidates[position];
        let same = states
            .iter_mut()
            .find(|state| state.members[0].1.deletion == candidate.deletion && *state.object() == candidate.object);
        match same {
            Some(state) => state.members.push((position, candidate)),
            None => states.push(State { members: vec![(position, candidate)] }),
        }
    }
    states
}

/// Whether `a` comes before `b`: a deletion comes last, a creation first; else `previous_attributes` decide when they speak for
/// one side only; else a terminal state comes after one that is not.
fn precedes(a: &State<'_>, b: &State<'_>) -> bool {
    if a.deletes() != b.deletes() {
        return b.deletes();
    }
    if a.creates() != b.creates() {
        return a.creates();
    }
    match (b.succeeds(a.object()), a.succeeds(b.object())) {
        (true, false) => true,
        (false, true) | (true, true) => false,
        (false, false) => b.terminal() && !a.terminal(),
    }
}

fn all_lead_to(goal: usize, edges: &[Vec<usize>]) -> bool {
    let mut reached = vec![false; edges.len()];
    reached[goal] = true;
    // Each pass reaches at least one more state or ends; there are as many passes as states at most.
    for _ in 0..edges.len() {
        for (state, successors) in edges.iter().enumerate() {
            if successors.iter().any(|&next| reached[next]) {
                reached[state] = true;
            }
        }
    }
    reached.into_iter().all(|reached| reached)
}

/// Whether every previous value is the value of `object`. A key's presence means that it changed; a previous `null` also
/// matches an absent key, because Stripe writes both for "was not there".
fn matches_previous(previous: &Value, object: &Value) -> bool {
    match (previous, object) {
        (Value::Object(previous), Value::Object(object)) => {
            previous.iter().all(|(key, before)| match object.get(key) {
                Some(value) => matches_previous(before, value),
                None => before.is_null(),
            })
        }
        (Value::Array(previous), Value::Array(values)) => {
            previous.len() == values.len()
                && previous.iter().zip(values).all(|(before, value)| matches_previous(before, value))
        }
        (before, value) => before == value,
    }
}

/// States that an object does not leave within the second it entered them, by kind.
const TERMINAL_STATUSES: &[(&str, &[&str])] = &[
    ("subscription", &["canceled", "incomplete_expired"]),
    ("invoice", &["paid", "void", "deleted"]),
    ("charge", &["succeeded", "failed"]),
    ("payment_intent", &["succeeded", "canceled"]),
    ("setup_intent", &["succeeded", "canceled"]),
    ("checkout.session", &["complete", "expired"]),
    ("dispute", &["won", "lost"]),
];

fn is_terminal(kind: &str, object: &Value) -> bool {
    let status = object.get("status").and_then(Value::as_str).unwrap_or_default();
    TERMINAL_STATUSES.iter().any(|(terminal_kind, statuses)| *terminal_kind == kind && statuses.contains(&status))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(id: &str, event_type: &str, object: Value, previous: Option<Value>) -> Candidate {
        Candidate {
            event_id: id.into(),
            event_type: event_type.into(),
            object_kind: "subscription".into(),
            deletion: event_type == "product.deleted",
            object,
            previous_attributes: previous,
        }
    }

    /// Resolves every rotation and its reverse, asserts that all name the same event, and returns it.
    fn agreed(candidates: &[Candidate]) -> (String, bool) {
        let mut answers = Vec::new();
        for turn in 0..candidates.len() {
            let mut turned = candidates.to_vec();
            turned.rotate_left(turn);
            for _ in 0..2 {
                let resolution = resolve(&turned);
                answers.push((turned[resolution.winner].event_id.clone(), resolution.ambiguous));
                turned.reverse();
            }
        }
        answers.dedup();
        assert_eq!(answers.len(), 1, "the order of arrival decided: {answers:?}");
        answers.remove(0)
    }

    #[test]
    fn previous_attributes_name_the_successor() {
        let trialing = event("evt_9", "customer.subscription.trial_will_end", json!({"status": "trialing"}), None);
        let active = event(
            "evt_1",
            "customer.subscription.updated",
            json!({"status": "active"}),
            Some(json!({"status": "trialing"})),
        );
        assert_eq!(agreed(&[trialing, active]), ("evt_1".into(), false));
    }

    #[test]
    fn a_chain_is_followed_to_its_end() {
        let one = event("evt_c", "x.created", json!({"a": 0, "b": 0}), None);
        let two = event("evt_b", "x.updated", json!({"a": 1, "b": 0}), Some(json!({"a": 0})));
        let three = event("evt_a", "x.updated", json!({"a": 1, "b": 1}), Some(json!({"b": 0})));
        assert_eq!(agreed(&[one, two, three]), ("evt_a".into(), false));
    }

    #[test]
    fn a_value_that_flips_back_is_ambiguous_and_the_choice_is_fixed() {
        let there = event("evt_1", "x.updated", json!({"a": 1}), Some(json!({"a": 0})));
        let back = event("evt_2", "x.updated", json!({"a": 0}), Some(json!({"a": 1})));
        assert_eq!(agreed(&[there, back]), ("evt_2".into(), true));
    }

    #[test]
    fn equal_objects_are_no_tie() {
        let paid = event("evt_1", "invoice.paid", json!({"status": "paid"}), None);
        let succeeded = event("evt_2", "invoice.payment_succeeded", json!({"status": "paid"}), None);
        assert_eq!(agreed(&[paid, succeeded]), ("evt_2".into(), false));
    }

    #[test]
    fn creation_comes_first_and_deletion_last() {
        let created = event("evt_3", "product.created", json!({"name": "a"}), None);
        let updated = event("evt_2", "product.updated", json!({"name": "b"}), None);
        let deleted = event("evt_1", "product.deleted", json!({"name": "b"}), None);
        assert_eq!(agreed(&[created.clone(), updated]), ("evt_2".into(), false));
        assert_eq!(agreed(&[created, deleted]), ("evt_1".into(), false));
    }

    #[test]
    fn a_terminal_state_follows_one_that_is_not() {
        let open = event("evt_2", "x.updated", json!({"status": "active"}), None);
        let ended = event("evt_1", "customer.subscription.deleted", json!({"status": "canceled"}), None);
        assert_eq!(agreed(&[open, ended]), ("evt_1".into(), false));
    }

    #[test]
    fn null_and_empty_previous_values_are_evidence() {
        let before = event("evt_2", "x.updated", json!({"coupon": null, "name": ""}), Some(json!({"z": 1})));
        let after =
            event("evt_1", "x.updated", json!({"coupon": "c", "name": "n"}), Some(json!({"coupon": null, "name": ""})));
        assert_eq!(agreed(&[before, after]), ("evt_1".into(), false));
    }

    #[test]
    fn an_absent_key_matches_a_previous_null_only() {
        assert!(matches_previous(&json!({"metadata": {"k": null}}), &json!({"metadata": {}})));
        assert!(!matches_previous(&json!({"metadata": {"k": "v"}}), &json!({"metadata": {}})));
        assert!(!matches_previous(&json!({"items": [1]}), &json!({"items": [1, 2]})));
    }
}
