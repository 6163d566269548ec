//! The test clock of a database, held by one server at a time: two engines by two clocks would take each other's runs.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use billhook_core::{Clock, SystemClock};
use billhook_flow::test_clock::{TestClock, frozen_at};
use billhook_store::{Store, StoreError};
use jiff::{SignedDuration, Timestamp};
use tokio::task::JoinHandle;

use crate::failure::Hinted;
use crate::stripe_api;

/// The lease's name in the database.
const NAME: &str = "test_clock";

/// How long a server that died keeps the next one waiting, in seconds.
const LEASE_SECONDS: i64 = 10;

/// How often the lease is renewed, in milliseconds: a third of its time.
const RENEW_MS: u64 = 10_000 / 3;

/// How often it is asked for while another server holds it, in milliseconds.
const ASK_MS: u64 = 250;

/// A clock that this server alone may move.
pub struct HeldClock {
    clock: Arc<TestClock>,
    store: Store,
    holder: String,
    keeper: JoinHandle<()>,
}

impl HeldClock {
    /// Takes the clock of a database. What a server held that was killed is given back, since a clock that stands ends no lease.
    ///
    /// # Errors
    /// When another server has it, or the database fails.
    pub async fn take(store: &Store) -> anyhow::Result<Self> {
        let (holder, store) = (stripe_api::holder(), store.clone());
        let asked = SystemClock.now();
        while !hold(&store, &holder).await.context("take the test clock")? {
            if SystemClock.now().duration_since(asked).as_secs() > LEASE_SECONDS {
                let hint = "with functions.test_clock only one server may use a database; stop the other one";
                return Err(Hinted::new("another server has the test clock of this database", hint).into());
            }
            tokio::time::sleep(Duration::from_millis(ASK_MS)).await;
        }
        let clock = Arc::new(TestClock::open(&store).await.context("read the test clock")?);
        if let Some(frozen) = clock.frozen() {
            store.release_all_flow_runs(frozen).await.context("give back runs")?;
            tracing::warn!(%frozen, "the time of functions stands still; `billhook clock advance` moves it");
        }
        let keeper = tokio::spawn(keep(store.clone(), holder.clone()));
        Ok(Self { clock, store, holder, keeper })
    }

    /// Refuses a database whose clock stands, for a server that may not move it: it would do at once what lies between.
    ///
    /// # Errors
    /// When the clock stands, or the database fails.
    pub async fn refuse_frozen(store: &Store) -> anyhow::Result<()> {
        let Some(frozen) = frozen_at(store).await.context("read the test clock")? else { return Ok(()) };
        let what = format!("the time of functions in this database stands at {frozen}");
        Err(Hinted::new(what, "set functions.test_clock, or use another database").into())
    }

    /// The clock.
    pub fn clock(&self) -> &Arc<TestClock> {
        &self.clock
    }

    /// Lets the next server have it.
    pub async fn give_back(self) {
        self.keeper.abort();
        if let Err(error) = self.store.drop_lease(NAME, &self.holder).await {
            tracing::debug!(%error, "the test clock could not be given back; its lease ends by itself");
        }
    }
}

async fn hold(store: &Store, holder: &str) -> Result<bool, StoreError> {
    let now = SystemClock.now();
    let until = now.saturating_add(SignedDuration::from_secs(LEASE_SECONDS)).unwrap_or(Timestamp::MAX);
    store.take_lease(NAME, holder, now, until).await
}

async fn keep(store: Store, holder: String) {
    loop {
        tokio::time::sleep(Duration::from_millis(RENEW_MS)).await;
        match hold(&store, &holder).await {
            Ok(true) => {}
            Ok(false) => tracing::error!("another server has taken the test clock; stop one of them"),
            Err(error) => tracing::warn!(%error, "the lease on the test clock could not be renewed; trying again"),
        }
    }
}
