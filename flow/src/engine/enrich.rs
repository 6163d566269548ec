//! What a run's event lacks when it is stored and has when its function sees it.

use std::future::Future;
use std::pin::Pin;

use serde_json::Value;

use crate::event::Event;

/// What [`Enrich::enrich`] gives: the whole new data, or `None` for an event that stays as it is.
pub type Enriching<'a> = Pin<Box<dyn Future<Output = Result<Option<Value>, EnrichError>> + Send + 'a>>;

/// Completes the data of an event before a function sees it for the first time. The engine records what it gave, so that every replay
/// sees the same.
pub trait Enrich: Send + Sync {
    /// The whole new data of the event; `None` when it is not one to enrich.
    ///
    /// # Errors
    /// When something that it asks is away for now: the run is given back and tried again later.
    fn enrich<'a>(&'a self, event: &'a Event) -> Enriching<'a>;
}

/// Why an event's data could not be completed now. It is worth trying again.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the event's data could not be completed: {0}")]
pub struct EnrichError(String);

impl EnrichError {
    /// An error that says what was away.
    pub fn new(message: impl Into<String>) -> Self {
        Self(message.into())
    }
}
