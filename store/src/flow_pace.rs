//! What an engine asks for whose clock is moved by hand.

use jiff::Timestamp;

use crate::{Store, StoreError};

/// How far the work of functions is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FlowPace {
    /// Whether a run is being executed.
    pub is_running: bool,
    /// When something is due next: a run, the expiry of a run, or a scheduled event.
    pub next: Option<Timestamp>,
}

impl Store {
    /// How far the work of these functions is.
    pub async fn flow_pace(&self, functions: &[String]) -> Result<FlowPace, StoreError> {
        each!(self, driver => driver.flow_pace(functions).await)
    }

    /// Gives all runs back that anybody holds. Only for whoever knows that every holder is gone: a clock that stands still ends no lease.
    pub async fn release_all_flow_runs(&self, now: Timestamp) -> Result<u64, StoreError> {
        each!(self, driver => driver.release_all_flow_runs(now).await)
    }
}
