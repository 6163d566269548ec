//! What tests of the engine share: a database with its tables, a clock that they move, and runs that they wait for.

use std::sync::Arc;
use std::time::Duration;

use billhook_core::ManualClock;
use billhook_core::run::RunState;
use billhook_store::{FlowRun, Location, Options, Role, Store};
use billhook_stripe::catalogue;
use billhook_testkit::wait;
use jiff::Timestamp;

/// Longest wait for something that must happen.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The database behind a URL, with its tables.
pub async fn opened(url: &str) -> Store {
    let location = Location::from_url(url);
    let (tables, catalogue_revision) = (catalogue::tables(), catalogue::revision());
    let store = Store::open(Options { location, tables, catalogue_revision, role: Role::Server }).await.unwrap();
    store.migrate().await.unwrap();
    store
}

/// A clock at the beginning of every test.
pub fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::new(Timestamp::from_second(1_800_000_000).unwrap()))
}

/// Waits until a run is in a state.
pub async fn until(store: &Store, id: &str, state: RunState) -> FlowRun {
    let reached = async || store.flow_run(id).await.unwrap().filter(|run| run.state == state);
    match wait::until_async(state.name(), PATIENCE, reached).await {
        Ok(run) => run,
        Err(error) => panic!("{error}: {:?}", store.flow_run(id).await),
    }
}
