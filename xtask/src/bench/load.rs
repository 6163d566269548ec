//! The load client: many connections on one thread.

use std::cell::{Cell, RefCell};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use billhook_testkit::process;
use tokio::task::LocalSet;

use super::exchange::Exchange;
use super::signed::SignedEvents;

/// Longest wait for one answer; the server itself gives up after 5 s.
const ANSWER_SECONDS_MAX: u64 = 15;
/// Pause of a connection after a refusal, in milliseconds; Stripe would wait far longer.
const REFUSED_PAUSE_MILLISECONDS: u64 = 50;

/// When requests are sent.
#[derive(Debug, Clone, Copy)]
pub(super) enum Pace {
    /// Each connection sends its next request when it has its answer.
    Saturated,
    /// Requests are due at fixed times whether or not earlier ones are answered; latency counts from the due time.
    Steady {
        /// Events per second.
        per_second: u64,
    },
}

/// What to send.
pub(super) struct Load {
    /// The server.
    pub(super) address: SocketAddr,
    /// Open connections.
    pub(super) connections: usize,
    /// How long to send.
    pub(super) duration: Duration,
    /// When.
    pub(super) pace: Pace,
    /// What.
    pub(super) events: SignedEvents,
}

/// What came of it.
#[derive(Debug, Default)]
pub(super) struct LoadResult {
    /// Answers with status 200.
    pub(super) acknowledged: u64,
    /// Answers with status 503.
    pub(super) refused: u64,
    /// Requests without an answer, or with another status.
    pub(super) failed: u64,
    /// Time from sending, or from being due, to the answer of each acknowledged request, in microseconds, sorted.
    pub(super) latencies_us: Vec<u32>,
    /// From the first request to the last answer.
    pub(super) elapsed: Duration,
    /// Processor time this client used, in seconds.
    pub(super) client_cpu_seconds: f64,
}

impl LoadResult {
    /// The latency that the share `quantile` (0 to 1) of the requests does not exceed, in milliseconds.
    pub(super) fn latency_ms(&self, quantile: f64) -> f64 {
        let position = (self.latencies_us.len() as f64 * quantile).ceil() as usize;
        self.latencies_us.get(position.saturating_sub(1)).map_or(0.0, |&micros| f64::from(micros) / 1000.0)
    }
}

struct Shared {
    load: Load,
    next: Cell<u64>,
    result: RefCell<LoadResult>,
}

/// Runs the load to its end. Takes the whole thread.
pub(super) fn run(load: Load) -> Result<LoadResult> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let connections = load.connections;
    let shared = Rc::new(Shared { load, next: Cell::new(0), result: RefCell::default() });
    LocalSet::new().block_on(&runtime, async {
        let mut exchanges = Vec::new();
        for _ in 0..connections {
            let mut exchange = Exchange::new(shared.load.address);
            exchange.connect().await.context("opening the connections")?;
            exchanges.push(exchange);
        }
        let own = std::process::id();
        let (cpu, start) = (process::cpu_seconds(own)?, Instant::now());
        let tasks: Vec<_> = exchanges
            .into_iter()
            .map(|exchange| tokio::task::spawn_local(drive(Rc::clone(&shared), exchange, start)))
            .collect();
        for task in tasks {
            task.await.context("a connection's task")?;
        }
        let mut result = shared.result.take();
        result.elapsed = start.elapsed();
        result.client_cpu_seconds = process::cpu_seconds(own)? - cpu;
        result.latencies_us.sort_unstable();
        Ok(result)
    })
}

/// One connection until the time is over.
async fn drive(shared: Rc<Shared>, mut exchange: Exchange, start: Instant) {
    while let Some((number, counted_from)) = next(&shared, start).await {
        exchange.prepare(&shared.load.events, number);
        let counted_from = counted_from.unwrap_or_else(Instant::now);
        let limit = Duration::from_secs(ANSWER_SECONDS_MAX);
        let status = tokio::time::timeout(limit, exchange.send()).await;
        let pause = {
            let mut result = shared.result.borrow_mut();
            match status {
                Ok(Ok(200)) => {
                    result.acknowledged += 1;
                    let micros = counted_from.elapsed().as_micros();
                    result.latencies_us.push(u32::try_from(micros).unwrap_or(u32::MAX));
                    false
                }
                Ok(Ok(503)) => {
                    result.refused += 1;
                    true
                }
                Ok(Ok(_) | Err(_)) => {
                    result.failed += 1;
                    true
                }
                Err(_) => {
                    result.failed += 1;
                    exchange = Exchange::new(shared.load.address);
                    true
                }
            }
        };
        if pause {
            tokio::time::sleep(Duration::from_millis(REFUSED_PAUSE_MILLISECONDS)).await;
        }
    }
}

/// The next event and, when it is due at a fixed time, that time. `None` when the time is over.
async fn next(shared: &Shared, start: Instant) -> Option<(u64, Option<Instant>)> {
    let number = shared.next.get();
    let due = match shared.load.pace {
        Pace::Saturated => {
            if start.elapsed() >= shared.load.duration {
                return None;
            }
            None
        }
        Pace::Steady { per_second } => {
            let after = Duration::from_secs_f64(number as f64 / per_second as f64);
            if after >= shared.load.duration {
                return None;
            }
            Some(start + after)
        }
    };
    shared.next.set(number + 1);
    if let Some(due) = due {
        tokio::time::sleep_until(due.into()).await;
    }
    Some((number, due))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_those_of_the_sorted_latencies() {
        let result = LoadResult { latencies_us: (1..=1000).map(|n| n * 1000).collect(), ..Default::default() };
        assert_eq!((result.latency_ms(0.5), result.latency_ms(0.99), result.latency_ms(1.0)), (500.0, 990.0, 1000.0));
        assert_eq!(LoadResult::default().latency_ms(0.99), 0.0);
    }
}
