//! What works beside the claims: schedules, scheduled events, upkeep.

use std::sync::Arc;

use billhook_core::Clock;
use billhook_store::Store;
use tokio::sync::Notify;

use crate::registry::Functions;

/// What all of it needs.
pub(super) struct Beside<App> {
    pub(super) functions: Arc<Functions<App>>,
    pub(super) store: Store,
    pub(super) clock: Arc<dyn Clock>,
    /// Told when runs were started or woken.
    pub(super) wake: Arc<Notify>,
    /// Tells that an event was scheduled which may be due.
    pub(super) scheduled: Arc<Notify>,
}

impl<App> Beside<App> {
    pub(super) fn new(functions: Arc<Functions<App>>, store: Store, clock: Arc<dyn Clock>, wake: Arc<Notify>) -> Self {
        Self { functions, store, clock, wake, scheduled: Arc::default() }
    }
}

impl<App> Clone for Beside<App> {
    fn clone(&self) -> Self {
        let (functions, store) = (Arc::clone(&self.functions), self.store.clone());
        let (wake, scheduled) = (Arc::clone(&self.wake), Arc::clone(&self.scheduled));
        Self { functions, store, clock: Arc::clone(&self.clock), wake, scheduled }
    }
}
