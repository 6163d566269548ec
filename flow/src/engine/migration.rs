//! Runs that go on with other code than they began with: what they were waiting in has to be part of it.
//!
//! Memos are matched by the ids of steps, so most changes need nothing: an added step runs, a changed one keeps what is recorded, a removed
//! one leaves an orphan that is shown. Only a sleep or a wait in which the run was when its code changed may not vanish unseen. That it has
//! is certain when the function would end or wait for something else without having come to it; an added step cannot be told from the one
//! that followed the wait, so what comes before that point runs.

use billhook_core::step::StepKey;
use billhook_store::{ClaimedRun, FlowStep, StepRecord, Store, StoreError};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::worker::{Memos, record};
use crate::exchange::{Memo, Outcome, ParkReason};
use crate::function::Function;

/// Where a run records in which sleeps and waits it was when it met another version of its code. No step has this id.
const MET: &str = " migration";

/// Where the engine records what the present code no longer comes to: its value is an array of `[id, occurrence]`. No step has this id.
pub const ORPHANS: &str = " orphans";

/// What a run records of the version of its code that it met last.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Met {
    version: String,
    /// Where it was, as `[id, occurrence]`.
    awaited: Vec<(String, u32)>,
    /// It is parked or was: whoever retries it has decided for this version.
    is_asked: bool,
}

/// The code of a run, compared with the one with which it began.
pub(super) struct Change<'a> {
    run: &'a ClaimedRun,
    memos: &'a Memos,
    is_changed: bool,
    met: Met,
    /// Nothing of it is recorded yet.
    is_new: bool,
}

impl<'a> Change<'a> {
    /// Looks at what is recorded before the function is executed.
    pub(super) async fn read<App>(
        store: &Store,
        run: &'a ClaimedRun,
        memos: &'a Memos,
        function: &'a Function<App>,
    ) -> Result<Self, StoreError> {
        let version = function.code_version();
        let is_changed = run.version.as_deref().is_some_and(|began| began != version);
        let change = |met, is_new| Self { run, memos, is_changed, met, is_new };
        let recorded = match memos.get(&own(MET)) {
            Some(Memo::Done(value)) => serde_json::from_value::<Met>(value.clone()).ok(),
            _ => None,
        };
        match recorded.filter(|met| met.version == version) {
            Some(met) => Ok(change(met, false)),
            None if is_changed => {
                let awaited = awaited(&store.flow_run_steps(&run.id).await?);
                Ok(change(Met { version: version.to_owned(), awaited, is_asked: false }, true))
            }
            None => Ok(change(Met::default(), false)),
        }
    }

    /// What has to be recorded before anything else: once this code has recorded something, nobody could tell any more where the run was.
    pub(super) fn first(&self) -> Option<StepRecord> {
        (self.is_new && !self.met.awaited.is_empty()).then(|| changing(MET, &json!(self.met)))
    }

    /// What follows an execution that did not come to `passed_over`, and what is to be recorded with its end.
    pub(super) fn judge(&self, outcome: Outcome, passed_over: &[StepKey]) -> (Outcome, Vec<StepRecord>) {
        if !matches!(outcome, Outcome::Finished(_) | Outcome::Suspended(_)) {
            return (outcome, Vec::new());
        }
        let mut records = Vec::new();
        if self.is_changed || matches!(outcome, Outcome::Finished(_)) {
            records.extend(self.orphans(passed_over));
        }
        let keys = self.met.awaited.iter().map(|(id, occurrence)| StepKey::new(id.as_str(), *occurrence));
        let lost: Vec<String> = keys.filter(|key| passed_over.contains(key)).map(|key| key.to_string()).collect();
        if lost.is_empty() || self.met.is_asked {
            return (outcome, records);
        }
        let Met { version, awaited, .. } = &self.met;
        let asked = Met { version: version.clone(), awaited: awaited.clone(), is_asked: true };
        records.push(changing(MET, &json!(asked)));
        (Outcome::Parked(ParkReason::NeedsMigration, self.question(&lost.join(", "))), records)
    }

    /// The record of orphans, if it is another one than before.
    fn orphans(&self, passed_over: &[StepKey]) -> Option<StepRecord> {
        let keys: Vec<_> = passed_over.iter().map(|key| json!([key.id, key.occurrence])).collect();
        let none = Memo::Done(json!([]));
        let before = self.memos.get(&own(ORPHANS)).unwrap_or(&none);
        let keys = Value::from(keys);
        (*before != Memo::Done(keys.clone())).then(|| changing(ORPHANS, &keys))
    }

    fn question(&self, lost: &str) -> String {
        let (function, version) = (&self.run.function, &self.met.version);
        let began = self.run.version.as_deref().unwrap_or_default();
        format!(
            "needs migration: version {version:?} of {function} does not come to {lost:?}, in which the run was; it began with \
             version {began:?}. Deploy code that has it or says with renamed_from what it is called now, and retry the run; \
             to let it go on without it, only retry it"
        )
    }
}

/// The sleeps and waits of a run in which it was: those without an end, and those after whose end nothing is recorded.
fn awaited(steps: &[FlowStep]) -> Vec<(String, u32)> {
    let is_passed = |step: &FlowStep, has_followed: &dyn Fn(&FlowStep) -> bool| {
        steps.iter().any(|other| other.key != step.key && !other.key.id.starts_with(' ') && has_followed(other))
    };
    let is_awaited = |step: &&FlowStep| match serde_json::from_str(&step.memo) {
        Ok(Memo::Event { .. }) => true,
        Ok(Memo::Sleep { until }) => !is_passed(step, &|other| other.recorded_at >= until),
        Ok(Memo::Came(_)) => !is_passed(step, &|other| other.recorded_at > step.recorded_at),
        _ => false,
    };
    steps.iter().filter(is_awaited).map(|step| (step.key.id.clone(), step.key.occurrence)).collect()
}

fn own(id: &str) -> StepKey {
    StepKey::new(id, 1)
}

/// A record that may change.
fn changing(id: &str, value: &Value) -> StepRecord {
    StepRecord { is_final: false, ..record(&own(id), &Memo::Done(value.clone())) }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap_or_default()
    }

    fn step(id: &str, memo: &Memo, recorded: i64) -> FlowStep {
        let memo = serde_json::to_string(memo).unwrap_or_default();
        FlowStep { key: StepKey::new(id, 1), memo, is_final: false, recorded_at: at(recorded) }
    }

    #[test]
    fn a_run_is_in_the_waits_after_whose_end_nothing_is_recorded() {
        let done = Memo::Done(json!(1));
        let sleep = |until| Memo::Sleep { until: at(until) };
        let open = Memo::Event { name: "app/a".to_owned(), matching: String::new(), until: at(90) };
        let ids = |steps: &[FlowStep]| awaited(steps).into_iter().map(|(id, _)| id).collect::<Vec<_>>();
        assert_eq!(ids(&[step("a", &done, 0), step("s", &sleep(10), 0)]), ["s"]);
        assert_eq!(ids(&[step("s", &sleep(10), 0), step("a", &done, 9)]), ["s"], "recorded beside the sleep");
        assert_eq!(ids(&[step("s", &sleep(10), 0), step("a", &done, 10)]), Vec::<String>::new());
        assert_eq!(ids(&[step("s", &sleep(10), 0), step(ORPHANS, &done, 10)]), ["s"], "no step of the function's");
        assert_eq!(ids(&[step("s", &sleep(10), 0), step("t", &sleep(20), 10)]), ["t"]);
        assert_eq!(ids(&[step("w", &Memo::Came(None), 5), step("a", &done, 4)]), ["w"]);
        assert_eq!(ids(&[step("w", &Memo::Came(None), 5), step("a", &done, 6)]), Vec::<String>::new());
        assert_eq!(ids(&[step("w", &open, 5), step("a", &done, 60)]), ["w"]);
    }
}
