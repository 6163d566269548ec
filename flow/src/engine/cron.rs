//! Starts functions by the clock. The latest time of each schedule stands in the database: whichever node moves it on starts the runs,
//! in the same transaction.

use std::time::Duration;

use billhook_store::{EventName, Publication, StoreError, Transaction, Work};
use jiff::Timestamp;
use serde_json::json;
use tokio::sync::watch;

use super::beside::Beside;
use super::route::{self, Matcher};
use crate::event::Event;
use crate::function::{Cron, Function};
use crate::names::CRON;

/// The longest time between two looks, in milliseconds: another node may have moved a schedule on, and the clock may have been moved.
const LOOK_MS: u64 = 250;

pub(super) struct Crons<App>(pub(super) Beside<App>);

impl<App: Send + Sync + 'static> Crons<App> {
    pub(super) async fn run(self, mut stop: watch::Receiver<bool>) {
        if self.0.functions.newest().all(|function| function.crons().is_empty()) {
            return;
        }
        while !*stop.borrow() {
            if let Err(error) = self.look().await {
                tracing::warn!(%error, "schedules could not be looked at; trying again");
            }
            tokio::select! {
                biased;
                () = tokio::time::sleep(Duration::from_millis(LOOK_MS)) => {}
                _ = stop.changed() => {}
            }
        }
    }

    /// When the next schedule comes.
    pub(super) async fn next(&self) -> Result<Option<Timestamp>, StoreError> {
        let mut next: Option<Timestamp> = None;
        for function in self.0.functions.newest() {
            for cron in function.crons() {
                let schedule = cron.schedule.source();
                let last = self.0.store.register_flow_cron(function.id(), schedule, self.0.clock.now()).await?;
                next = next.into_iter().chain(cron.schedule.next_after(last)).min();
            }
        }
        Ok(next)
    }

    /// Starts what has come.
    pub(super) async fn look(&self) -> Result<(), StoreError> {
        for function in self.0.functions.newest() {
            for cron in function.crons() {
                let schedule = cron.schedule.source();
                let last = self.0.store.register_flow_cron(function.id(), schedule, self.0.clock.now()).await?;
                self.start(function, cron, last).await?;
            }
        }
        Ok(())
    }

    /// Starts what has come since `last`.
    async fn start(&self, function: &Function<App>, cron: &Cron, last: Timestamp) -> Result<(), StoreError> {
        let now = self.0.clock.now();
        // Without this one could not tell a time that came and was passed over from one that has not come.
        let Some(to) = cron.schedule.next_after(last).filter(|next| *next <= now) else { return Ok(()) };
        let due = cron.schedule.due(last, now, cron.missed);
        let to = due.last().copied().unwrap_or(now).max(to);
        let lanes = self.0.functions.lanes();
        let started = |at: &Timestamp| route::addressed(function, lanes, &event(function, cron, *at), now);
        let publications = due.iter().map(started).collect();
        let (function, schedule) = (function.id().to_owned(), cron.schedule.source().to_owned());
        if self.0.store.transact(Come { function, schedule, last, to, publications, now }).await? {
            self.0.wake.notify_one();
        }
        Ok(())
    }
}

fn event<App>(function: &Function<App>, cron: &Cron, at: Timestamp) -> Event {
    let schedule = cron.schedule.source();
    let id = format!("cron/{}/{schedule}/{at}", function.id());
    Event::new(id, CRON, json!({ "cron": schedule, "scheduled_at": at }), at)
}

/// Moves a schedule on and starts its runs.
struct Come {
    function: String,
    schedule: String,
    last: Timestamp,
    to: Timestamp,
    publications: Vec<Publication>,
    now: Timestamp,
}

impl Work for Come {
    type Output = bool;

    async fn run<T: Transaction>(self, transaction: &mut T) -> Result<bool, StoreError> {
        let names: Vec<EventName> = self.publications.iter().flat_map(Publication::event_names).collect();
        let paths = transaction.attend(&names).await?;
        if !transaction.take_flow_cron(&self.function, &self.schedule, self.last, self.to).await? {
            return Ok(false);
        }
        transaction.publish(&self.publications, &paths, &Matcher, self.now).await?;
        Ok(true)
    }
}
