//! From an event to what it starts, ends and calls off.

use std::sync::Arc;

use billhook_core::failpoint;
use billhook_core::step::StepKey;
use billhook_core::ulid::ulid;
use billhook_store::{
    EventName, FlowEvent, FlowWait, Keep, NewFlowRun, Publication, Published, StoreError, StoredWait, Transaction,
    WaitKind, WaitMatcher, Work,
};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::event::Event;
use crate::exchange::Memo;
use crate::expression::{Expression, Scope, at_path};
use crate::function::Function;
use crate::lanes::Lanes;
use crate::names::{APPLIED, SIGNAL};
use crate::registry::Functions;

/// Where an event comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Stripe. Its delivery is kept elsewhere.
    Stripe,
    /// The application, a run, or somebody with a key.
    User,
    /// Billhook itself.
    Own,
}

impl Source {
    /// What makes an event of this source one event.
    pub fn key(self, id: &str) -> String {
        match self {
            Self::Stripe => format!("stripe/{id}"),
            Self::User => format!("user/{id}"),
            Self::Own => format!("own/{id}"),
        }
    }
}

/// An event as databases hold it.
pub(crate) fn stored(event: &Event, source: Source) -> FlowEvent {
    let Event { id, name, data, ts } = event;
    FlowEvent { key: source.key(id), id: id.clone(), name: name.clone(), data: data.to_string(), ts: *ts }
}

/// An event as expressions see it; data that cannot be read is null.
pub(crate) fn shown(event: &FlowEvent) -> Value {
    let data: Value = serde_json::from_str(&event.data).unwrap_or_default();
    json!({ "id": event.id, "name": event.name, "data": data, "ts": event.ts.as_millisecond() })
}

/// An event of Billhook's own about one function: it starts that one and no other.
pub(super) fn addressed<App>(function: &Function<App>, lanes: &Lanes, event: &Event, now: Timestamp) -> Publication {
    let event = stored(event, Source::Own);
    let (names, shown) = (vec![event.name.clone()], shown(&event));
    let runs = vec![run(function, lanes, &event, &shown, now)];
    Publication { event, names, keep: Keep::Always, runs }
}

/// What `event`, known by all of `names`, starts. It starts each function once, however often it is published. One of the user's own
/// whose time lies in the future waits for it.
pub fn publication<App>(
    functions: &Functions<App>,
    event: &Event,
    source: Source,
    names: &[String],
    now: Timestamp,
) -> Publication {
    let (event, known) = (stored(event, source), names.to_vec());
    if source == Source::User && event.ts > now {
        let keep = Keep::Until(event.ts, None);
        return Publication { event, names: known, keep, runs: Vec::new() };
    }
    let runs = runs(functions, &event, names, now);
    let keep = match source {
        Source::User | Source::Own => Keep::Always,
        // A run that starts later has to find it.
        Source::Stripe if functions.is_called_off_by(names) => Keep::Always,
        Source::Stripe => Keep::IfUsed,
    };
    Publication { event, names: known, keep, runs }
}

/// An event of the user's from somebody who has no functions: whichever engine comes first publishes it, in its time or at once.
pub fn handed_in(event: &Event, now: Timestamp) -> Publication {
    let keep = Keep::Until(event.ts.max(now), None);
    Publication { event: stored(event, Source::User), names: vec![event.name.clone()], keep, runs: Vec::new() }
}

/// A signal for the runs that wait for it now. Nobody keeps it for later ones.
pub fn signal(signal: &str, data: Value, now: Timestamp) -> Publication {
    let event = Event::new(ulid(now), SIGNAL, json!({ "signal": signal, "data": data }), now);
    let (event, names) = (stored(&event, Source::Own), vec![SIGNAL.to_owned()]);
    Publication { event, names, keep: Keep::Already, runs: Vec::new() }
}

/// An event of Stripe's that the mirror has applied, for reads that wait for it.
pub(super) fn applied(id: &str, now: Timestamp) -> Publication {
    let event = stored(&Event::new(id, APPLIED, Value::Null, now), Source::Stripe);
    Publication { event, names: vec![APPLIED.to_owned()], keep: Keep::Already, runs: Vec::new() }
}

/// A signal that a run sends. It is kept: the run that is meant may not have come to its wait yet.
pub(super) fn sent_signal(event: &Event) -> Publication {
    Publication {
        event: stored(event, Source::Own),
        names: vec![event.name.clone()],
        keep: Keep::Always,
        runs: Vec::new(),
    }
}

/// A scheduled event whose time has come.
pub(super) fn due<App>(functions: &Functions<App>, event: FlowEvent, now: Timestamp) -> Publication {
    let names = vec![event.name.clone()];
    let runs = runs(functions, &event, &names, now);
    Publication { event, names, keep: Keep::Already, runs }
}

fn runs<App>(functions: &Functions<App>, event: &FlowEvent, names: &[String], now: Timestamp) -> Vec<NewFlowRun> {
    let mut started = functions.started_by(names).peekable();
    if started.peek().is_none() {
        return Vec::new();
    }
    let shown = shown(event);
    let scope = Scope { event: &shown, other: None, now };
    let meant = started.filter(|function| function.wants(names, &scope));
    meant.map(|function| run(function, functions.lanes(), event, &shown, now)).collect()
}

fn run<App>(function: &Function<App>, lanes: &Lanes, event: &FlowEvent, shown: &Value, now: Timestamp) -> NewFlowRun {
    let id = ulid(now);
    let scope = Scope { event: shown, other: None, now };
    let once = function.once().and_then(|expression| expression.key(&scope));
    let cancels = function.cancels().iter().zip(1..).map(|(cancel, number)| {
        let key = StepKey::new("", number);
        wait(&id, WaitKind::Cancel, key, &cancel.event, cancel.condition.as_ref(), shown, now)
    });
    let cancels = cancels.collect();
    let (start_by, end_by) = function.deadlines(now);
    let control = function.controls.control(function.id(), &scope, lanes);
    let (function, dedupe_key) = (function.id().to_owned(), once.unwrap_or_else(|| event.key.clone()));
    NewFlowRun { id, function, dedupe_key, due_at: now, start_by, end_by, cancels, control }
}

/// A wait of a run that `trigger` started, with what an index can look up.
pub(super) fn wait(
    run: &str,
    kind: WaitKind,
    key: StepKey,
    name: &str,
    condition: Option<&Expression>,
    trigger: &Value,
    now: Timestamp,
) -> FlowWait {
    let correlation = condition.and_then(|expression| expression.correlation(trigger, now));
    let (path, value) = correlation.map(|correlation| (correlation.path, correlation.value)).unwrap_or_default();
    let expression = condition.map(|expression| expression.source().to_owned()).unwrap_or_default();
    FlowWait { run: run.to_owned(), kind, key, name: name.to_owned(), path, value, expression, until: None }
}

/// Publishes events in a transaction of its own.
pub struct Publish {
    /// The events.
    pub publications: Vec<Publication>,
    /// What decides about waits.
    pub matcher: Arc<dyn WaitMatcher>,
    /// The time.
    pub now: Timestamp,
}

impl Publish {
    /// One event.
    pub fn one(publication: Publication, now: Timestamp) -> Self {
        Self { publications: vec![publication], matcher: Arc::new(Matcher), now }
    }
}

impl Work for Publish {
    type Output = Vec<Published>;

    async fn run<T: Transaction>(self, transaction: &mut T) -> Result<Vec<Published>, StoreError> {
        let Self { publications, matcher, now } = self;
        let names: Vec<EventName> = publications.iter().flat_map(Publication::event_names).collect();
        let paths = transaction.attend(&names).await?;
        transaction.publish(&publications, &paths, &*matcher, now).await
    }
}

/// Publishes scheduled events whose time has come, those that nobody took before.
pub(super) struct PublishDue {
    pub(super) publications: Vec<Publication>,
    pub(super) now: Timestamp,
}

impl Work for PublishDue {
    type Output = u64;

    async fn run<T: Transaction>(self, transaction: &mut T) -> Result<u64, StoreError> {
        let Self { publications, now } = self;
        let names: Vec<EventName> = publications.iter().flat_map(Publication::event_names).collect();
        let paths = transaction.attend(&names).await?;
        let keys: Vec<String> = publications.iter().map(|one| one.event.key.clone()).collect();
        let taken = transaction.take_flow_events(&keys, now).await?;
        let taken: Vec<Publication> = publications.into_iter().filter(|one| taken.contains(&one.event.key)).collect();
        transaction.publish(&taken, &paths, &Matcher, now).await?;
        failpoint::hit("before_scheduled_commit");
        Ok(taken.len() as u64)
    }
}

/// Decides by the expressions of waits.
#[derive(Debug, Clone, Copy, Default)]
pub struct Matcher;

impl WaitMatcher for Matcher {
    fn value(&self, event: &FlowEvent, path: &str) -> Option<String> {
        at_path(&shown(event), path).map(str::to_owned)
    }

    fn matches(&self, stored: &StoredWait, event: &FlowEvent) -> bool {
        let StoredWait { wait, trigger } = stored;
        if event.key == trigger.key {
            return false;
        }
        // Deliveries come in any order. What happened before the run's own event does not call it off.
        if wait.kind == WaitKind::Cancel && event.ts < trigger.ts {
            return false;
        }
        if wait.expression.is_empty() {
            return true;
        }
        let Ok(expression) = Expression::parse(&wait.expression) else { return false };
        let (trigger, event_shown) = (shown(trigger), shown(event));
        expression.is_true(&Scope { event: &trigger, other: Some(&event_shown), now: event.ts })
    }

    fn memo(&self, event: Option<&FlowEvent>) -> String {
        let came = event.map(|event| {
            let data = serde_json::from_str(&event.data).unwrap_or_default();
            Event { id: event.id.clone(), name: event.name.clone(), data, ts: event.ts }
        });
        serde_json::to_string(&Memo::Came(came)).unwrap_or_default()
    }
}
