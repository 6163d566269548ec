//! What has to be true when everything has come to its end.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use billhook_store::SqlRow;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::functions::{About, operations};
use crate::plan::{Operation, StepPlan};
use crate::world::World;

/// No two clocks differ by more, with some reserve.
const CLOCKS_DIFFER: SignedDuration = SignedDuration::from_secs(5);

/// Something that the triggers saw, in the order of the commits.
struct Seen {
    number: i64,
    what: String,
    /// The run, or the event.
    about: String,
    detail: String,
    memo: String,
}

struct Run {
    id: String,
    function: String,
    state: String,
    created_at: Timestamp,
    event: String,
    about: About,
    event_ts: Timestamp,
}

/// A step of a run.
type Key = (String, String);

/// Everything there is to know in the end.
struct Evidence<'world> {
    world: &'world World,
    seen: Vec<Seen>,
    runs: Vec<Run>,
    /// What is recorded, and when.
    steps: HashMap<Key, (Value, Timestamp)>,
    /// Events with their data, names, and the times at which they happened and came.
    events: BTreeMap<String, (String, About, Timestamp, Timestamp)>,
    retried: BTreeMap<String, u32>,
    results: BTreeMap<Key, Result<Value, String>>,
}

/// Looks at everything.
pub async fn check(world: &World) {
    let evidence = Evidence::gather(world).await;
    evidence.check_order();
    evidence.check_starts();
    evidence.run_by_run();
    evidence.check_sends();
    evidence.check_bookings().await;
}

/// Nobody rests while there is a result that its function has not been given, unless it rests after a failure, or before that in a sleep
/// that is not over any more by clocks which were set back or differ.
pub async fn check_wakes(world: &World) {
    let now = world.now(SignedDuration::ZERO);
    let (before, later) = ((now - CLOCKS_DIFFER).to_string(), (now + CLOCKS_DIFFER).to_string());
    let resting = "SELECT step.run, step.step FROM billhook_flow_runs AS run \
                   JOIN billhook_flow_steps AS step ON step.run = run.id \
                   WHERE run.state = 'waiting' AND run.due_at > $2 AND run.failures = 0 AND step.is_final AND NOT EXISTS \
                   (SELECT 1 FROM billhook_flow_steps AS other WHERE other.run = run.id AND \
                   coalesce(json_extract(other.memo, '$.sleep.until'), json_extract(other.memo, '$.retry.at')) > $1)";
    for row in world.rows(resting, &[before.into(), later.into()]).await {
        let key = (text(&row, "run"), text(&row, "step"));
        let is_known = world.state().results.contains_key(&key);
        if !is_known {
            world.violate(format!("{} of {} is over, and the run rests", key.1, key.0));
        }
    }
}

fn text(row: &SqlRow, column: &str) -> String {
    row.get(column).unwrap()
}

fn time(row: &SqlRow, column: &str) -> Timestamp {
    text(row, column).parse().unwrap()
}

fn about(row: &SqlRow) -> About {
    serde_json::from_str(&text(row, "data")).unwrap()
}

impl<'world> Evidence<'world> {
    async fn gather(world: &'world World) -> Self {
        let seen = world.rows("SELECT number, what, about, detail, memo FROM seen ORDER BY number", &[]).await;
        let seen = seen.iter().map(|row| Seen {
            number: row.get("number").unwrap(),
            what: text(row, "what"),
            about: text(row, "about"),
            detail: text(row, "detail"),
            memo: text(row, "memo"),
        });
        let runs = "SELECT run.id, run.function, run.state, run.created_at, event.id AS event, event.data, event.ts \
                    FROM billhook_flow_runs AS run JOIN billhook_flow_events AS event ON event.key = run.event_key \
                    ORDER BY run.id";
        let runs = world.rows(runs, &[]).await;
        let runs = runs.iter().map(|row| Run {
            id: text(row, "id"),
            function: text(row, "function"),
            state: text(row, "state"),
            created_at: time(row, "created_at"),
            event: text(row, "event"),
            about: about(row),
            event_ts: time(row, "ts"),
        });
        let steps = world.rows("SELECT run, step, memo, recorded_at FROM billhook_flow_steps", &[]).await;
        let step = |row: &SqlRow| {
            let memo = serde_json::from_str(&text(row, "memo")).unwrap();
            ((text(row, "run"), text(row, "step")), (memo, time(row, "recorded_at")))
        };
        let own = "SELECT id, name, data, ts, received_at FROM billhook_flow_events WHERE name LIKE 'app/%'";
        let own = world.rows(own, &[]).await;
        let event = |row: &SqlRow| (text(row, "name"), about(row), time(row, "ts"), time(row, "received_at"));
        let (retried, results) = {
            let state = world.state();
            (state.retried.clone(), state.results.clone())
        };
        Self {
            world,
            seen: seen.collect(),
            runs: runs.collect(),
            steps: steps.iter().map(step).collect(),
            events: own.iter().map(|row| (text(row, "id"), event(row))).collect(),
            retried,
            results,
        }
    }

    fn violate(&self, what: String) {
        self.world.violate(what);
    }

    /// When the first of these was committed.
    fn first(&self, what: &[&str], about: &str, detail: Option<&str>) -> Option<&Seen> {
        let is_it = |seen: &&Seen| {
            what.contains(&seen.what.as_str())
                && seen.about == about
                && detail.is_none_or(|detail| seen.detail == detail)
        };
        self.seen.iter().find(is_it)
    }

    /// What is final stays; who has ended does nothing more.
    fn check_order(&self) {
        let mut ended: BTreeSet<&str> = BTreeSet::new();
        for Seen { what, about, detail, memo, .. } in &self.seen {
            self.world.log(format!("committed: {what} {about} {detail} {memo}"));
            match what.as_str() {
                "change" => self.violate(format!("{detail} of {about} was final and became {memo}")),
                "end" if !ended.insert(about) => self.violate(format!("{about} ended twice")),
                "claim" | "record" | "final" if ended.contains(about.as_str()) => {
                    self.violate(format!("{what} of {about} ({detail}) after its end"));
                }
                "forgotten" if !self.retried.contains_key(about) => {
                    self.violate(format!("{detail} of {about} was forgotten"));
                }
                _ => {}
            }
        }
        let cancelled: Vec<String> = self.world.state().cancelled.keys().cloned().collect();
        for id in cancelled {
            if self.runs.iter().any(|run| run.id == id && run.state != "cancelled") {
                self.violate(format!("{id} was called off, and something else became of it"));
            }
        }
    }

    /// Every event is one run of every function that it starts; nothing else is a run.
    fn check_starts(&self) {
        let mut runs: BTreeMap<(&str, &str), usize> = BTreeMap::new();
        for run in &self.runs {
            *runs.entry((&run.event, &run.function)).or_default() += 1;
        }
        for (id, (name, ..)) in &self.events {
            let functions: &[&str] = match name.as_str() {
                "app/order" => &["note", "work"],
                "app/sent" => &["note"],
                _ => &[],
            };
            for function in ["child", "note", "work"] {
                let expected = usize::from(functions.contains(&function));
                let found = runs.get(&(id.as_str(), function)).copied().unwrap_or_default();
                if found != expected {
                    self.violate(format!("{id} is {found} runs of {function} and not {expected}"));
                }
            }
        }
        let published = self.world.state().published.clone();
        for id in published {
            if !self.events.contains_key(&id) {
                self.violate(format!("{id} was published and is not there"));
            }
        }
    }

    fn run_by_run(&self) {
        for run in &self.runs {
            if self.first(&["end"], &run.id, None).is_none() {
                self.violate(format!("nobody saw how {} became {}", run.id, run.state));
            }
            self.check_end(run);
            if run.function == "work" {
                self.check_called_off(run);
                for (id, operation) in named(operations(self.world, &run.about.order)) {
                    self.check_operation(run, &id, operation);
                }
            }
        }
    }

    /// A run ends as its plan says, unless it is called off.
    fn check_end(&self, run: &Run) {
        if run.state == "cancelled" {
            return;
        }
        let operations = operations(self.world, &run.about.order);
        let succeeds = match run.function.as_str() {
            // A fatal operation that does not succeed is the end; whether it does is in the plan, or was seen.
            "work" => named(operations).iter().all(|(id, operation)| self.lets_go_on(run, id, operation)),
            "child" => invoked(operations, &run.about.operation)
                .and_then(StepPlan::succeeds)
                .unwrap_or_else(|| self.was_well(run, "child")),
            _ => true,
        };
        let expected = if succeeds { "succeeded" } else { "failed" };
        if run.state != expected {
            self.violate(format!("{} ({} of {}) is {} and not {expected}", run.id, run.function, run.event, run.state));
        }
    }

    fn lets_go_on(&self, run: &Run, id: &str, operation: &Operation) -> bool {
        match operation {
            Operation::Step(plan) if plan.is_fatal => plan.succeeds().unwrap_or_else(|| self.was_well(run, id)),
            // These also fail because the database was away for long, or because the other run was called off.
            Operation::Transaction(plan) | Operation::Invoke(plan) if plan.is_fatal => self.was_well(run, id),
            _ => true,
        }
    }

    /// Whether the function was given a result, and no failure.
    fn was_well(&self, run: &Run, id: &str) -> bool {
        self.results.get(&(run.id.clone(), id.to_owned())).is_some_and(Result::is_ok)
    }

    /// What is to call a run off and came before its end has done so; nothing else has.
    fn check_called_off(&self, run: &Run) {
        let ended = self.first(&["end"], &run.id, None).map_or(i64::MAX, |end| end.number);
        let stops = self.events.iter().filter(|(_, (name, about, ts, _))| {
            name == "app/stop" && about.order == run.about.order && *ts >= run.event_ts
        });
        let mut in_time =
            stops.filter(|(id, _)| self.first(&["event"], id, None).is_some_and(|event| event.number < ended));
        let by_person = {
            let state = self.world.state();
            state.cancelled.contains_key(&run.id) || state.tried_to_cancel.contains(&run.id)
        };
        match (in_time.next(), run.state.as_str()) {
            (Some((stop, _)), state) if state != "cancelled" => {
                self.violate(format!("{stop} calls {} off, which is {state}", run.id));
            }
            (None, "cancelled") if !by_person => {
                self.violate(format!("nothing called {} off", run.id));
            }
            _ => {}
        }
    }

    fn check_operation(&self, run: &Run, id: &str, operation: &Operation) {
        let key = (run.id.clone(), id.to_owned());
        match operation {
            Operation::Wait { .. } => self.check_wait(run, id),
            Operation::Step(plan) => {
                let calls = self.world.state().calls.get(&key).map_or(0, |calls| calls.count);
                let allowed = 1 + self.retried.get(&run.id).copied().unwrap_or_default();
                if plan.at_most_once && calls > allowed {
                    self.violate(format!("{id} of {} must not run twice and was called {calls} times", run.id));
                }
                let result = self.results.get(&key);
                let succeeds = plan.succeeds();
                if result.is_some_and(|result| succeeds.is_some_and(|succeeds| succeeds != result.is_ok())) {
                    self.violate(format!("{id} of {} was to end otherwise than with {result:?}", run.id));
                }
            }
            Operation::Invoke(_) => self.check_invocation(run, id),
            _ => {}
        }
    }

    /// A wait ends with an event that is meant, or when its time is over and none came.
    fn check_wait(&self, run: &Run, id: &str) {
        let key = (run.id.clone(), id.to_owned());
        let Some((memo, recorded_at)) = self.steps.get(&key) else { return };
        let Some(came) = memo.get("came") else { return };
        let is_meant =
            |name: &str, about: &About| name == "app/reply" && about.order == run.about.order && about.operation == id;
        if let Some(event) = came["id"].as_str() {
            if !self.events.get(event).is_some_and(|(name, about, ..)| is_meant(name, about)) {
                self.violate(format!("{id} of {} ended by {event}, which it did not wait for", run.id));
            }
            return;
        }
        if self.retried.contains_key(&run.id) {
            // The wait began anew, and an event may have come between the two.
            return;
        }
        let (Some(start), Some(began), Some(over)) = (
            self.first(&["start"], &run.id, None),
            self.first(&["record"], &run.id, Some(id)),
            self.first(&["final"], &run.id, Some(id)),
        ) else {
            return self.violate(format!("{id} of {} ended without having begun", run.id));
        };
        let began_with: Value = serde_json::from_str(&began.memo).unwrap();
        let until: Timestamp = began_with["event"]["until"].as_str().unwrap().parse().unwrap();
        if *recorded_at < until {
            self.violate(format!("{id} of {} was over at {recorded_at}, before {until}", run.id));
        }
        for (event, (_, _, _, received_at)) in self.events.iter().filter(|(_, one)| is_meant(&one.0, &one.1)) {
            let Some(came) = self.first(&["event"], event, None) else { continue };
            let could_look_back = came.number > start.number && *received_at >= run.created_at;
            if came.number < over.number && (came.number > began.number || could_look_back) {
                self.violate(format!("{id} of {} found nothing, and {event} had come", run.id));
            }
        }
    }

    /// An invocation is one run, and its result is what that run returned.
    fn check_invocation(&self, run: &Run, id: &str) {
        let children = self
            .runs
            .iter()
            .filter(|child| child.function == "child" && child.about.run == run.id && child.about.operation == id);
        let children: Vec<&Run> = children.collect();
        let allowed = 1 + self.retried.get(&run.id).copied().unwrap_or_default() as usize;
        let has_begun = self.steps.contains_key(&(run.id.clone(), id.to_owned()));
        if children.len() > allowed || children.is_empty() && has_begun {
            self.violate(format!("{id} of {} invoked {} runs", run.id, children.len()));
        }
        if self
            .steps
            .get(&(run.id.clone(), id.to_owned()))
            .is_some_and(|(memo, _)| memo.get("came") == Some(&Value::Null))
        {
            self.violate(format!("{id} of {} was not told of the end of the run that it invoked", run.id));
        }
        if let Some(Ok(result)) = self.results.get(&(run.id.clone(), id.to_owned()))
            && result.get("failed").is_none()
        {
            let returned = |child: &&Run| self.results.get(&(child.id.clone(), "child".to_owned()));
            if !children.iter().filter_map(returned).any(|returned| returned.as_ref() == Ok(result)) {
                self.violate(format!("{id} of {} was given {result}, which no run returned", run.id));
            }
        }
    }

    /// What is recorded as sent is one event, and no other event was sent.
    fn check_sends(&self) {
        let mut sent: BTreeMap<Key, usize> = BTreeMap::new();
        for (_, about, ..) in self.events.values().filter(|(name, ..)| name == "app/sent") {
            *sent.entry((about.run.clone(), about.operation.clone())).or_default() += 1;
        }
        for run in self.runs.iter().filter(|run| run.function == "work") {
            for (id, operation) in named(operations(self.world, &run.about.order)) {
                let key = (run.id.clone(), id);
                let expected =
                    usize::from(matches!(operation, Operation::Send { .. }) && self.steps.contains_key(&key));
                let found = sent.remove(&key).unwrap_or_default();
                if found != expected {
                    self.violate(format!("{} of {} was sent {found} times and not {expected}", key.1, key.0));
                }
            }
        }
        if !sent.is_empty() {
            self.violate(format!("nobody sent {sent:?}"));
        }
    }

    /// The transaction of a step took effect as often as it is recorded: once or not at all.
    async fn check_bookings(&self) {
        let mut booked: BTreeMap<Key, usize> = BTreeMap::new();
        for row in self.world.rows("SELECT run, step FROM booked", &[]).await {
            *booked.entry((text(&row, "run"), text(&row, "step"))).or_default() += 1;
        }
        for run in self.runs.iter().filter(|run| run.function == "work") {
            for (id, operation) in named(operations(self.world, &run.about.order)) {
                let key = (run.id.clone(), id);
                let is_done = self.steps.get(&key).is_some_and(|(memo, _)| memo.get("done").is_some());
                let expected = usize::from(matches!(operation, Operation::Transaction(_)) && is_done);
                let found = booked.remove(&key).unwrap_or_default();
                if found != expected {
                    self.violate(format!("{} of {} is booked {found} times and not {expected}", key.1, key.0));
                }
            }
        }
    }
}

/// Operations with the ids of their steps.
fn named(operations: &[Operation]) -> Vec<(String, &Operation)> {
    let mut named = Vec::new();
    for (number, operation) in operations.iter().enumerate() {
        match operation {
            Operation::Both(both) => {
                named.push((format!("{number}a"), &both[0]));
                named.push((format!("{number}b"), &both[1]));
            }
            single => named.push((number.to_string(), single)),
        }
    }
    named
}

fn invoked<'plan>(operations: &'plan [Operation], id: &str) -> Option<&'plan StepPlan> {
    named(operations).into_iter().find_map(|(found, operation)| match operation {
        Operation::Invoke(plan) if found == id => Some(plan),
        _ => None,
    })
}
