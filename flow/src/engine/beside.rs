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
}

impl<App> Clone for Beside<App> {
    fn clone(&self) -> Self {
        let (functions, store) = (Arc::clone(&self.functions), self.store.clone());
        Self { functions, store, clock: Arc::clone(&self.clock), wake: Arc::clone(&self.wake) }
    }
}
