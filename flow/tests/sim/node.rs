//! A process of the simulation: an engine with a clock of its own, between it and the database all that can go wrong.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use billhook_core::Clock;
use billhook_flow::engine::{Engine, EngineOptions};
use billhook_store::sqlite::{Disturbance, Disturbed};
use billhook_store::{Store, StoreError};
use jiff::{SignedDuration, Timestamp};
use tokio::time::Instant;

use crate::functions::{App, functions};
use crate::plan::Rates;
use crate::world::World;

/// The longest delay of an operation, in milliseconds; the longest time for which a process stands still.
const SLOW_MS: u64 = 120;
const FREEZE_MS: u64 = 3_000;

/// How a process is.
pub struct Health {
    pub name: String,
    pub world: Arc<World>,
    skew: SignedDuration,
    /// Nobody dies who only publishes.
    is_mortal: bool,
    is_dead: AtomicBool,
    frozen_until: Mutex<Instant>,
}

impl Health {
    pub fn new(world: &Arc<World>, name: String, skew: SignedDuration, is_mortal: bool) -> Arc<Self> {
        let frozen_until = Mutex::new(Instant::now());
        let world = Arc::clone(world);
        Arc::new(Self { name, world, skew, is_mortal, is_dead: AtomicBool::new(false), frozen_until })
    }

    pub fn is_dead(&self) -> bool {
        self.is_dead.load(Ordering::Relaxed)
    }

    /// From here on nothing of the process reaches the world.
    pub fn die(&self, when: &str) {
        if !self.is_dead.swap(true, Ordering::Relaxed) {
            self.world.log(format!("{} dies {when}", self.name));
            self.world.died.notify_one();
        }
    }

    /// Stands still for a while.
    pub fn freeze(&self) {
        let for_ms = self.world.below(FREEZE_MS);
        self.world.log(format!("{} stands still for {for_ms} ms", self.name));
        *self.frozen_until.lock().unwrap() = Instant::now() + Duration::from_millis(for_ms);
    }

    /// Returns when the process goes on, which a dead one never does.
    pub async fn awake(&self) {
        loop {
            if self.is_dead() {
                return std::future::pending().await;
            }
            let until = *self.frozen_until.lock().unwrap();
            if until <= Instant::now() {
                return;
            }
            tokio::time::sleep_until(until).await;
        }
    }

    /// How often things fail now; nothing does when all is calm.
    pub fn rates(&self) -> Rates {
        let rates = self.world.plan.rates;
        if self.world.state().is_calm {
            return Rates { refused: 0, lost: 0, slow: 0, death: 0, freeze: 0 };
        }
        if self.is_mortal { rates } else { Rates { death: 0, freeze: 0, ..rates } }
    }

    async fn pass(&self, operation: &'static str, place: &str, fails: u64) -> Result<(), StoreError> {
        if !self.world.count_operation() {
            return std::future::pending().await;
        }
        let rates = self.rates();
        if self.world.happens(rates.slow) {
            self.world.pause(SLOW_MS).await;
        }
        if self.world.happens(rates.freeze) {
            self.freeze();
        }
        if self.world.happens(rates.death) {
            self.die(&format!("{place} {operation}"));
        }
        self.awake().await;
        if self.world.happens(fails) {
            self.world.log(format!("{}: no answer {place} {operation}", self.name));
            return Err(StoreError::Unavailable(format!("{operation}: simulated")));
        }
        Ok(())
    }
}

impl Clock for Health {
    fn now(&self) -> Timestamp {
        self.world.now(self.skew)
    }
}

impl Disturbance for Health {
    fn before<'a>(&'a self, operation: &'static str) -> Disturbed<'a> {
        Box::pin(async move { self.pass(operation, "before", self.rates().refused).await })
    }

    fn after<'a>(&'a self, operation: &'static str) -> Disturbed<'a> {
        Box::pin(async move { self.pass(operation, "after", self.rates().lost).await })
    }
}

/// An engine and its process.
pub struct Node {
    pub health: Arc<Health>,
    pub engine: Engine,
}

impl Node {
    pub fn start(world: &Arc<World>, name: String, skew: SignedDuration) -> Self {
        world.log(format!("{name} starts"));
        let health = Health::new(world, name, skew, true);
        let options = EngineOptions { threads: 0, ..EngineOptions::new(&health.name) };
        let app = Arc::new(App { health: Arc::clone(&health) });
        let (store, clock) = (disturbed(&health), Arc::clone(&health) as Arc<dyn Clock>);
        Self { engine: Engine::start(options, functions(), app, store, clock), health }
    }

    /// Gives back what it holds and ends, while the world goes on.
    pub fn stop(self) {
        let Self { health, engine } = self;
        health.world.log(format!("{} stops", health.name));
        tokio::task::spawn_local(async move {
            engine.stop().await;
            health.die("having stopped");
        });
    }
}

/// The database as a process sees it.
pub fn disturbed(health: &Arc<Health>) -> Store {
    match &health.world.store {
        Store::Sqlite(store) => Store::Sqlite(store.disturbed(Arc::clone(health) as Arc<dyn Disturbance>)),
        Store::Postgres(_) => unreachable!("a simulation has a file"),
    }
}
