//! What happens from outside: events, deaths, clocks that jump, people; and in the end a calm in which everything has to come to its end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use billhook_core::Clock as _;
use billhook_core::run::RunState;
use billhook_flow::Event;
use billhook_flow::engine::{Publish, Source, publication};
use billhook_store::{FlowRunFilter, FlowRunSummary, Publication, Store, StoreError, Verdict};
use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use crate::functions::{About, functions, operations};
use crate::node::{Health, Node, disturbed};
use crate::oracle;
use crate::plan::Operation;
use crate::world::{World, ms};

/// The longest pause between two actions, in milliseconds of the runtime's time.
const PAUSE_MS: u64 = 400;
/// How often a dead process is replaced, in thousandths of the pauses.
const REPLACED: u64 = 300;
/// Between two looks at a calm world, in milliseconds.
const CALM_MS: u64 = 60;
/// Looks at a calm world after which a run that has not ended is stuck: time for some leases, and for all sleeps and retries.
const CALM_MAX: usize = 1_500;
/// So far clocks go forward at once, in milliseconds: a moment, about a lease, an hour.
const FORWARD_MS: [u64; 3] = [2_000, 20_000, 3_600_000];
/// So far they are set back.
const BACK_MS: [u64; 2] = [3_000, 3_600_000];
/// Nothing but the end of an invocation is due so late. Clocks only move there after so many looks, seven seconds: until then somebody tells
/// of the end of the run that was invoked.
const FAR: SignedDuration = SignedDuration::from_hours(24);
const IDLE_LOOKS: usize = 120;
/// No lease that is renewed ends later than this. One that does was given before the clocks were set back, to somebody who does not know.
const LEASE_LONGEST: SignedDuration = SignedDuration::from_secs(12);
/// Most runs at one time.
const RUNS_MAX: usize = 10_000;

pub struct Driver {
    world: Arc<World>,
    /// Whoever publishes and steers.
    client: Arc<Health>,
    store: Store,
    nodes: BTreeMap<usize, Node>,
    started: usize,
    /// Orders that have not come.
    to_come: Vec<usize>,
    /// Events that nobody has acknowledged, and what of each exists already.
    unsent: Vec<Event>,
    sent: Vec<Event>,
    replies: usize,
    /// Looks one after the other at which nothing was due for long.
    idle_looks: usize,
}

impl Driver {
    pub fn new(world: &Arc<World>) -> Self {
        let client = Health::new(world, "client".to_owned(), SignedDuration::ZERO, false);
        let store = disturbed(&client);
        let to_come = (0..world.plan.orders.len()).rev().collect();
        let world = Arc::clone(world);
        let (nodes, started, unsent, sent, replies, idle_looks) = Default::default();
        Self { world, client, store, nodes, started, to_come, unsent, sent, replies, idle_looks }
    }

    /// Everything there is to happen, to its end or to the first violation.
    pub async fn run(mut self) {
        for place in 0..self.world.plan.skews_ms.len() {
            self.start(place);
        }
        for _ in 0..self.world.plan.actions {
            self.rest(self.world.below(PAUSE_MS)).await;
            if self.world.state().violation.is_some() {
                return;
            }
            self.act().await;
            self.tend().await;
        }
        self.world.state().is_calm = true;
        self.world.log("all is calm");
        while let Some(order) = self.to_come.pop() {
            self.order(order);
        }
        for looks in 0.. {
            self.rest(CALM_MS).await;
            self.tend().await;
            let open = self.open().await;
            if open.is_empty() && self.unsent.is_empty() && self.next_event().await.is_none() {
                break;
            }
            oracle::check_wakes(&self.world).await;
            if looks == CALM_MAX {
                self.world.violate(format!("runs are stuck: {open:#?}"));
            }
            if self.world.state().violation.is_some() {
                break;
            }
            self.revive(&open).await;
            self.skip(&open).await;
        }
    }

    fn start(&mut self, place: usize) {
        self.started += 1;
        let skew = SignedDuration::from_millis(self.world.plan.skews_ms[place]);
        let name = format!("{}{}", char::from(b'a' + place as u8), self.started);
        self.nodes.insert(place, Node::start(&self.world, name, skew));
    }

    async fn rest(&mut self, pause_ms: u64) {
        tokio::select! {
            biased;
            () = self.world.died.notified() => {}
            () = tokio::time::sleep(Duration::from_millis(pause_ms)) => {}
        }
    }

    /// Buries the dead, replaces some of them, and sends what has to be sent.
    async fn tend(&mut self) {
        let dead: Vec<usize> =
            self.nodes.iter().filter(|(_, node)| node.health.is_dead()).map(|(place, _)| *place).collect();
        dead.into_iter().filter_map(|place| self.nodes.remove(&place)).for_each(|node| node.engine.abandon());
        for place in 0..self.world.plan.skews_ms.len() {
            let is_calm = self.world.state().is_calm;
            let is_due = is_calm || self.world.happens(REPLACED);
            if !self.nodes.contains_key(&place) && is_due {
                self.start(place);
            }
        }
        for event in std::mem::take(&mut self.unsent) {
            match self.publish(&event).await {
                Ok(()) => {
                    self.world.log(format!("published {}", event.id));
                    self.world.state().published.insert(event.id.clone());
                    self.sent.push(event);
                    let some = self.world.pick(self.nodes.len() + 1);
                    self.nodes.values().skip(some).for_each(|node| node.engine.wake());
                }
                Err(_) => self.unsent.push(event),
            }
        }
    }

    async fn publish(&self, event: &Event) -> Result<(), StoreError> {
        let names = [event.name.clone()];
        let publication: Publication = publication(&functions(), event, Source::User, &names, self.client.now());
        self.store.transact(Publish::one(publication, self.client.now())).await.map(|_published| ())
    }

    fn send(&mut self, id: String, name: &str, about: &About, ts: Timestamp) {
        self.unsent.push(Event::new(id, name, json!(about), ts));
    }

    fn order(&mut self, number: usize) {
        let order = format!("order-{number}");
        let about = About { order: order.clone(), ..About::default() };
        let later = if self.world.happens(150) { ms(self.world.below(5_000)) } else { SignedDuration::ZERO };
        self.send(order, "app/order", &about, self.client.now() + later);
    }

    /// One of the orders, whether it has come or not.
    fn some_order(&self) -> String {
        format!("order-{}", self.world.pick(self.world.plan.orders.len()))
    }

    async fn act(&mut self) {
        match self.world.below(16) {
            0..=3 => {
                if let Some(order) = self.to_come.pop() {
                    self.order(order);
                }
            }
            4..=6 => self.reply(),
            7 | 8 => {
                let far = FORWARD_MS[self.world.pick(FORWARD_MS.len())];
                self.world.jump(ms(self.world.below(far)));
            }
            9 if self.world.plan.goes_back => {
                let far = BACK_MS[self.world.pick(BACK_MS.len())];
                self.world.jump(-ms(self.world.below(far)));
            }
            10 => self.stop_node(),
            11 => self.freeze(),
            12 if self.world.happens(500) => self.call_off(),
            13 => self.cancel().await,
            14 if !self.sent.is_empty() => {
                let again = self.sent[self.world.pick(self.sent.len())].clone();
                self.world.log(format!("{} comes again", again.id));
                self.unsent.push(again);
            }
            _ => {
                let open = self.open().await;
                self.revive(&open).await;
                self.skip(&open).await;
            }
        }
    }

    /// What some operation waits for, before, while or after it does.
    fn reply(&mut self) {
        let order = self.some_order();
        let mut waits = Vec::new();
        for (number, operation) in operations(&self.world, &order).iter().enumerate() {
            match operation {
                Operation::Wait { .. } => waits.push(number.to_string()),
                Operation::Both(both) => {
                    let ids = both.iter().zip(["a", "b"]);
                    let ids = ids.filter(|(operation, _)| matches!(operation, Operation::Wait { .. }));
                    waits.extend(ids.map(|(_, part)| format!("{number}{part}")));
                }
                _ => {}
            }
        }
        if waits.is_empty() {
            return;
        }
        self.replies += 1;
        let operation = waits.swap_remove(self.world.pick(waits.len()));
        let id = format!("reply-{}-{order}-{operation}", self.replies);
        let about = About { order, operation, run: String::new() };
        self.send(id, "app/reply", &about, self.client.now());
    }

    fn call_off(&mut self) {
        let order = self.some_order();
        self.replies += 1;
        let id = format!("stop-{}-{order}", self.replies);
        let about = About { order, ..About::default() };
        self.send(id, "app/stop", &about, self.client.now());
    }

    fn stop_node(&mut self) {
        let places: Vec<usize> = self.nodes.keys().copied().collect();
        if !places.is_empty()
            && let Some(node) = self.nodes.remove(&places[self.world.pick(places.len())])
        {
            node.stop();
        }
    }

    fn freeze(&self) {
        let nodes: Vec<&Node> = self.nodes.values().collect();
        if !nodes.is_empty() {
            nodes[self.world.pick(nodes.len())].health.freeze();
        }
    }

    /// A person calls off some run, preferably one that is being executed.
    async fn cancel(&mut self) {
        let mut open = self.open().await;
        if self.world.happens(700) && open.iter().any(|run| run.state == RunState::Running) {
            open.retain(|run| run.state == RunState::Running);
        }
        if open.is_empty() {
            return;
        }
        let run = &open[self.world.pick(open.len())].id;
        self.world.log(format!("a person calls {run} off"));
        let verdict = self.store.cancel_flow_run(run, "enough", self.client.now()).await;
        match verdict {
            Ok(Verdict::Done) => {
                self.world.log(format!("{run} is called off"));
                self.world.state().cancelled.insert(run.clone(), tokio::time::Instant::now());
            }
            Ok(_) => {}
            Err(_) => drop(self.world.state().tried_to_cancel.insert(run.clone())),
        }
    }

    /// A person lets go on what is parked.
    async fn revive(&mut self, open: &[FlowRunSummary]) {
        for run in open.iter().filter(|run| run.state == RunState::Parked) {
            let verdict = self.store.retry_flow_run(&run.id, self.client.now()).await;
            self.world.log(format!("a person lets {} go on: {verdict:?} ({:?})", run.id, run.message));
            if !matches!(verdict, Ok(Verdict::Illegal(_))) {
                *self.world.state().retried.entry(run.id.clone()).or_default() += 1;
            }
        }
    }

    /// Moves the clocks to whatever is due next, unless something is being executed or has just been let go on.
    async fn skip(&mut self, open: &[FlowRunSummary]) {
        let renewed_until = self.client.now() + LEASE_LONGEST;
        let is_executed = |run: &FlowRunSummary| {
            let holders = self.nodes.values().map(|node| &node.health.name);
            let is_held = holders.into_iter().any(|name| Some(name) == run.holder.as_ref())
                && run.due_at.is_some_and(|due_at| due_at < renewed_until);
            run.state == RunState::Parked || run.state == RunState::Running && is_held
        };
        if open.iter().any(is_executed) {
            return;
        }
        let next = open.iter().filter_map(|run| run.due_at).chain(self.next_event().await).min();
        let rest = next.map_or(SignedDuration::ZERO, |next| next.duration_since(self.client.now()));
        let is_far = rest > FAR;
        self.idle_looks = if is_far { self.idle_looks + 1 } else { 0 };
        if rest.is_positive() && (!is_far || self.idle_looks > IDLE_LOOKS) {
            self.world.jump(rest);
            self.nodes.values().for_each(|node| node.engine.wake());
        }
    }

    /// Runs that have not ended.
    async fn open(&self) -> Vec<FlowRunSummary> {
        let filter = FlowRunFilter { limit: RUNS_MAX, ..FlowRunFilter::default() };
        let mut runs = self.world.store.list_flow_runs(filter).await.unwrap();
        runs.retain(|run| !run.state.is_over());
        runs
    }

    /// When the next scheduled event is due.
    async fn next_event(&self) -> Option<Timestamp> {
        let (due, next) = self.world.store.due_flow_events(self.client.now(), 1).await.unwrap();
        due.first().map(|event| event.ts).or(next)
    }
}
