//! The time of functions.

use std::sync::Arc;

use billhook_core::{Clock, SystemClock};
use jiff::SignedDuration;

/// How long a run of a dead process rests, in seconds of the world.
const LEASE_SECONDS: i64 = 10;

/// The clock by which functions sleep. Everything else goes by the system's.
#[derive(Clone)]
pub struct FunctionClock {
    clock: Arc<dyn Clock>,
    /// Its seconds in one second of the world.
    pace: i32,
}

impl FunctionClock {
    /// The system's.
    pub fn system() -> Self {
        Self { clock: Arc::new(SystemClock), pace: 1 }
    }

    /// One that runs so many times as fast as the world.
    pub fn fast(clock: Arc<dyn Clock>, pace: i32) -> Self {
        Self { clock, pace: pace.max(1) }
    }

    /// The clock itself.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// The lease of a run by this clock. It is the same time of the world at any pace, or a fast clock would end leases that are alive.
    pub fn lease(&self) -> SignedDuration {
        SignedDuration::from_secs(LEASE_SECONDS) * self.pace
    }
}
