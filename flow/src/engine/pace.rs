//! An engine whose clock is moved by hand: its loops look at the clock now and then, and whoever moves it wants to know when all is done.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use billhook_store::StoreError;
use jiff::Timestamp;

use super::beside::Beside;
use super::cron::Crons;
use super::schedule::Scheduled;
use super::upkeep::Upkeep;

/// How long to wait before looking again whether runs that are executed have come to rest, in milliseconds: about as long as a record takes.
const SETTLE_MS: u64 = 5;

/// The time of what comes next.
pub type Settling<'a> = Pin<Box<dyn Future<Output = Result<Option<Timestamp>, StoreError>> + Send + 'a>>;

/// Does what is due.
pub trait Settle: Send + Sync {
    /// Has everything done that is due by the engine's clock, with all that follows from it at the same time; returns when something is due
    /// next. It lasts as long as the steps that are executed.
    ///
    /// # Errors
    /// When the database fails.
    fn settle(&self) -> Settling<'_>;
}

pub(super) struct Pace<App>(pub(super) Beside<App>);

impl<App: Send + Sync + 'static> Settle for Pace<App> {
    fn settle(&self) -> Settling<'_> {
        Box::pin(self.settled())
    }
}

impl<App: Send + Sync + 'static> Pace<App> {
    async fn settled(&self) -> Result<Option<Timestamp>, StoreError> {
        let Beside { functions, store, clock, wake, .. } = &self.0;
        let (scheduled, crons, upkeep) = (Scheduled(self.0.clone()), Crons(self.0.clone()), Upkeep(self.0.clone()));
        loop {
            while scheduled.publish().await?.is_zero() {}
            crons.look().await?;
            let now = clock.now();
            let paused = store.paused_functions().await?;
            let is_active = |id: &String| paused.iter().all(|paused| paused.id != *id);
            let active: Vec<String> = functions.ids().into_iter().filter(is_active).collect();
            let pace = store.flow_pace(&active).await?;
            let next = pace.next.into_iter().chain(crons.next().await?).min();
            let is_quiet = !pace.is_running && next.is_none_or(|next| next > now);
            // Last of all: what ended meanwhile may let others go on.
            if !upkeep.end(now).await? && is_quiet {
                return Ok(next);
            }
            wake.notify_one();
            tokio::time::sleep(Duration::from_millis(SETTLE_MS)).await;
        }
    }
}
