//! A running simulator.

use std::net::SocketAddr;
use std::sync::Arc;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use tokio::net::TcpListener;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Notify;
use tokio::time::interval;

use crate::account::Account;
use crate::clock::ClockMode;
use crate::faults::Faults;
use crate::http::server;
use crate::http::traffic::Traffic;
use crate::options::{Options, RateLimits};
use crate::oracle::Oracle;
use crate::shared::Shared;
use crate::webhooks::sender;

/// How often a running clock's timers are looked after, in milliseconds.
const TICK_MS: u64 = 10;
/// How long a wait for deliveries sleeps before it looks again, in milliseconds.
const SETTLE_POLL_MS: u64 = 20;

/// A fake Stripe on loopback, with a thread of its own. Dropping it stops it.
#[derive(Debug)]
pub struct Simulator {
    shared: Arc<Shared>,
    address: SocketAddr,
    stop: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
}

impl Simulator {
    /// Starts listening.
    ///
    /// # Errors
    /// When the address is not a loopback address or cannot be listened on.
    pub fn start(options: Options) -> anyhow::Result<Self> {
        if !options.listen.ip().is_loopback() {
            bail!(
                "the simulator has no protection and listens on loopback only; {} is another address",
                options.listen
            );
        }
        let account = Account::new(&options);
        let shared = Arc::new(Shared::new(account, Traffic::new(options.limits), options.delivery));
        let runtime =
            Builder::new_current_thread().enable_all().build().context("cannot start the simulator's runtime")?;
        let listener = runtime
            .block_on(TcpListener::bind(options.listen))
            .with_context(|| format!("the simulator cannot listen on {}", options.listen))?;
        let address = listener.local_addr()?;
        let stop = Arc::new(Notify::new());
        let thread = {
            let (shared, stop, clock) = (Arc::clone(&shared), Arc::clone(&stop), options.clock);
            let run = move || run(&runtime, listener, shared, &stop, clock);
            thread::Builder::new().name("simulator".to_owned()).spawn(run)?
        };
        Ok(Self { shared, address, stop, thread: Some(thread) })
    }

    /// `http://127.0.0.1:<port>`.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Looks at the account or changes it, with everything done before that is due by its clock. Requests wait meanwhile.
    pub fn account<R>(&self, act: impl FnOnce(&mut Account) -> R) -> R {
        act(&mut self.shared.account())
    }

    /// The switches of the faults.
    pub fn faults(&self) -> &Faults {
        &self.shared.faults
    }

    /// Sets or lifts the rate limits.
    pub fn set_limits(&self, limits: Option<RateLimits>) {
        self.shared.traffic().set_limits(limits);
    }

    /// The true state of everything. Cheap: states are shared, not copied.
    pub fn oracle(&self) -> Oracle {
        Oracle::new(&self.shared.account(), &self.shared.traffic())
    }

    /// Waits until no delivery is on its way or due. Those that wait for a later retry stay: see [`Simulator::settle_all`].
    pub fn settle(&self) {
        let mut account = self.shared.account();
        while account.queue.is_busy(Instant::now()) {
            let waited = self.shared.attempt_ended.wait_timeout(account, Duration::from_millis(SETTLE_POLL_MS));
            account = waited.unwrap_or_else(std::sync::PoisonError::into_inner).0;
        }
    }

    /// Waits until every delivery was acknowledged or given up, at most for so long. Returns whether that came about.
    pub fn settle_all(&self, most: Duration) -> bool {
        let end = Instant::now() + most;
        let mut account = self.shared.account();
        while account.queue.len() > 0 {
            if Instant::now() >= end {
                return false;
            }
            let waited = self.shared.attempt_ended.wait_timeout(account, Duration::from_millis(SETTLE_POLL_MS));
            account = waited.unwrap_or_else(std::sync::PoisonError::into_inner).0;
        }
        true
    }

    /// Deliveries that were neither acknowledged nor given up.
    pub fn undelivered(&self) -> usize {
        self.shared.account().queue.len()
    }

    /// Stops listening, closes all connections and returns when the thread has ended.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        self.stop.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic of the thread was reported by the thread itself.
            let _ = thread.join();
        }
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        self.end();
    }
}

fn run(runtime: &Runtime, listener: TcpListener, shared: Arc<Shared>, stop: &Notify, clock: ClockMode) {
    runtime.block_on(async {
        let served = tokio::spawn(server::serve(listener, Arc::clone(&shared)));
        tokio::spawn(sender::run(Arc::clone(&shared)));
        if !matches!(clock, ClockMode::Manual(_)) {
            tokio::spawn(tick(shared));
        }
        tokio::select! {
            () = stop.notified() => {}
            _ = served => {}
        }
    });
}

/// Does what falls due while nobody asks.
async fn tick(shared: Arc<Shared>) {
    let mut ticks = interval(Duration::from_millis(TICK_MS));
    loop {
        ticks.tick().await;
        shared.account_as_is().run_due();
    }
}
