//! Requests: counted, and limited per second.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use crate::options::RateLimits;

/// Requests that the log keeps.
const LOG_MAX: usize = 2_000_000;

/// A request that was answered.
#[derive(Debug, Clone)]
pub struct RequestRecord {
    /// Milliseconds of real time since the simulator's start.
    pub at_ms: u64,
    /// Method and path without ids: `GET /v1/customers/{id}`.
    pub endpoint: Arc<str>,
    /// Status of the answer; 0 while there is none, or when the connection was reset.
    pub status: u16,
}

/// A bucket that fills with so many tokens a second, and holds those of one second.
#[derive(Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
}

impl Bucket {
    fn new(rate: u32, now: Instant) -> Self {
        Self { tokens: f64::from(rate), at: now }
    }

    fn take(&mut self, rate: u32, now: Instant) -> bool {
        let rate = f64::from(rate);
        self.tokens = (self.tokens + now.duration_since(self.at).as_secs_f64() * rate).min(rate);
        self.at = now;
        let granted = self.tokens >= 1.0;
        if granted {
            self.tokens -= 1.0;
        }
        granted
    }
}

/// The counters and the limits.
#[derive(Debug)]
pub(crate) struct Traffic {
    start: Instant,
    limits: Option<RateLimits>,
    global: Option<Bucket>,
    endpoints: BTreeMap<Arc<str>, Bucket>,
    pub(crate) log: Vec<RequestRecord>,
    pub(crate) total: u64,
}

impl Traffic {
    pub(crate) fn new(limits: Option<RateLimits>) -> Self {
        Self { start: Instant::now(), limits, global: None, endpoints: BTreeMap::new(), log: Vec::new(), total: 0 }
    }

    pub(crate) fn set_limits(&mut self, limits: Option<RateLimits>) {
        self.limits = limits;
        self.global = None;
        self.endpoints.clear();
    }

    /// Counts a request. Returns its number in the log.
    pub(crate) fn note(&mut self, endpoint: &str) -> usize {
        let known = self.endpoints.get_key_value(endpoint).map(|(name, _)| Arc::clone(name));
        let endpoint = known.unwrap_or_else(|| Arc::from(endpoint));
        let at_ms = u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.total += 1;
        if self.log.len() < LOG_MAX {
            self.log.push(RequestRecord { at_ms, endpoint, status: 0 });
        }
        self.log.len() - 1
    }

    /// Whether a request exceeds a limit, and which: the value of `Stripe-Rate-Limited-Reason`.
    pub(crate) fn exceeded(&mut self, endpoint: &str) -> Option<&'static str> {
        let limits = self.limits?;
        let now = Instant::now();
        let global = self.global.get_or_insert_with(|| Bucket::new(limits.global, now));
        if !global.take(limits.global, now) {
            return Some("global-rate");
        }
        let bucket = self.endpoints.entry(Arc::from(endpoint)).or_insert_with(|| Bucket::new(limits.endpoint, now));
        (!bucket.take(limits.endpoint, now)).then_some("endpoint-rate")
    }

    pub(crate) fn answered(&mut self, number: usize, status: u16) {
        if let Some(record) = self.log.get_mut(number) {
            record.status = status;
        }
    }
}
