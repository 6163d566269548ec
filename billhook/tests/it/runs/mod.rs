//! Runs of durable functions over HTTP and on the command line, against the real binary over databases that hold runs in every state.
#![expect(clippy::unwrap_used, reason = "a test whose preparation fails has to fail")]

mod clock;
mod commands;
mod http;

use std::sync::Arc;

use billhook_core::run::RunState;
use billhook_core::step::StepKey;
use billhook_core::ulid::ulid;
use billhook_core::{Clock as _, SystemClock};
use billhook_flow::engine::{Matcher, Publish};
use billhook_store::{
    ClaimedRun, Control, FlowClaim, FlowEvent, Keep, Location, NewFlowRun, Options, Publication, Role, RunCommit,
    RunNext, StepRecord, Store, Suspects,
};
use billhook_stripe::catalogue;
use billhook_testkit::{Server, ServerSettings, TestDatabase};
use jiff::{SignedDuration, Timestamp};

const API_KEY: &str = "an-api-key-0123456789abcdef";

const EVENT_KEY: &str = "an-event-key-0123456789abcdef";

/// How long a lease lasts that nobody lengthens in these tests.
const LEASE: SignedDuration = SignedDuration::from_hours(1);

/// The program over a database, with the means to bring runs into states as an engine does.
struct House {
    // Before the database: the program must be gone when the database is dropped.
    server: Server,
    settings: ServerSettings,
    database: TestDatabase,
    runtime: tokio::runtime::Runtime,
}

fn record(id: &str, memo: impl Into<String>, is_final: bool) -> StepRecord {
    StepRecord { key: StepKey::new(id, 1), memo: memo.into(), is_final }
}

fn now() -> Timestamp {
    SystemClock.now()
}

impl House {
    fn on_each(test: &str, run: impl Fn(&Self)) {
        Self::on_each_with(test, &[], run);
    }

    fn on_each_with(test: &str, environment: &[(&str, &str)], run: impl Fn(&Self)) {
        for database in TestDatabase::both(test).unwrap() {
            let settings = ServerSettings::new(env!("CARGO_BIN_EXE_billhook"), &database.url()).unwrap();
            let settings = settings.set("API_KEY", API_KEY);
            let settings = environment.iter().fold(settings, |settings, (name, value)| settings.set(name, value));
            let server = settings.start().unwrap();
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
            run(&Self { server, settings, database, runtime });
        }
    }

    /// Does something with the database, beside the running server.
    fn with<T>(&self, work: impl AsyncFnOnce(&Store) -> T) -> T {
        let location = Location::from_url(&self.database.url());
        let (tables, catalogue_revision) = (catalogue::tables(), catalogue::revision());
        self.runtime.block_on(async {
            let options = Options { location, tables, catalogue_revision, role: Role::Tool };
            let store = Store::open(options).await.unwrap();
            let done = work(&store).await;
            store.close().await;
            done
        })
    }

    /// Starts a run of a function for an event of its own; returns its id.
    fn start(&self, function: &str, event_id: &str) -> String {
        self.start_limited(function, event_id, Control::default())
    }

    fn start_limited(&self, function: &str, event_id: &str, control: Control) -> String {
        let id = ulid(now());
        let event = FlowEvent {
            key: format!("stripe/{event_id}"),
            id: event_id.to_owned(),
            name: "stripe/invoice.paid".to_owned(),
            data: r#"{"id":"in_1","amount_paid":12345678901234567890}"#.to_owned(),
            ts: now(),
        };
        let run = NewFlowRun {
            id: id.clone(),
            function: function.to_owned(),
            dedupe_key: event_id.to_owned(),
            due_at: now(),
            start_by: None,
            end_by: None,
            cancels: Vec::new(),
            control,
        };
        let publication = Publication { names: vec![event.name.clone()], event, keep: Keep::IfUsed, runs: vec![run] };
        let publish = Publish::one(publication, now());
        assert_eq!(self.with(async |store| store.transact(publish).await.unwrap())[0].started, [true]);
        id
    }

    /// Starts a run and brings it into a state; its steps are recorded on the way.
    fn start_in(&self, function: &str, event_id: &str, state: RunState, records: Vec<StepRecord>) -> String {
        let id = self.start(function, event_id);
        if state == RunState::Queued {
            return id;
        }
        self.with(async |store| {
            let claimed = claim(store, function, Vec::new()).await;
            let token = claimed.iter().find(|run| run.id == id).expect("claimed").token;
            let due_at = (state == RunState::Waiting).then(|| now().checked_add(LEASE).unwrap());
            let result = (state == RunState::Succeeded).then(|| r#"{"paid":12345678901234567890}"#.to_owned());
            let message = matches!(state, RunState::Failed | RunState::Parked).then(|| "no such user".to_owned());
            let next = RunNext { state, due_at, failures: 0, result, message };
            let next = (state != RunState::Running).then_some(next);
            let commit = RunCommit { records, next, ..RunCommit::new(id.clone(), token) };
            assert_eq!(store.commit_flow_runs(vec![commit], Arc::new(Matcher), now()).await.unwrap(), [true]);
        });
        id
    }

    fn state(&self, run: &str) -> RunState {
        self.with(async |store| store.flow_run(run).await.unwrap().unwrap().state)
    }
}

/// Claims all runs of a function that are due.
async fn claim(store: &Store, function: &str, places: Vec<(String, u32)>) -> Vec<ClaimedRun> {
    let (holder, functions, over) = ("node-7".to_owned(), vec![function.to_owned()], String::new());
    let lease_until = now().checked_add(LEASE).unwrap();
    let claim = FlowClaim {
        holder,
        functions,
        newest: Vec::new(),
        pinned: Vec::new(),
        now: now(),
        lease_until,
        limit: 100,
        over,
        suspects: Suspects::NONE,
        places,
    };
    store.claim_flow_runs(claim).await.unwrap()
}
