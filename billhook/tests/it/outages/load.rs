//! Senders that go on delivering while something breaks.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use billhook_testkit::Client;

use super::ledger::{Answer, Ledger};

/// Pause of a sender whose delivery was not acknowledged.
const AGAIN_AFTER: Duration = Duration::from_millis(20);

/// How hard the senders push.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace {
    /// Connections that deliver at the same time.
    pub(super) senders: usize,
    /// Pause of each sender between two events.
    pub(super) pause: Duration,
}

impl Pace {
    /// About 100 events a second, by four senders.
    pub(super) const STEADY: Self = Self { senders: 4, pause: Duration::from_millis(40) };
    /// About 200 events a second, by eight senders.
    pub(super) const BRISK: Self = Self { senders: 8, pause: Duration::from_millis(40) };
    /// As fast as eight senders can.
    pub(super) const FLAT_OUT: Self = Self { senders: 8, pause: Duration::ZERO };
}

/// Running senders. Each repeats an event until it is acknowledged, and sends every second one once more.
pub(super) struct Load {
    stopped: Arc<AtomicBool>,
    senders: Vec<JoinHandle<()>>,
}

impl Load {
    /// Starts senders that share the ledger's events.
    pub(super) fn start(ledger: &Arc<Ledger>, address: SocketAddr, pace: Pace) -> Self {
        let stopped = Arc::new(AtomicBool::new(false));
        let sender = |_| {
            let (ledger, stopped) = (Arc::clone(ledger), Arc::clone(&stopped));
            std::thread::spawn(move || send(&ledger, Client::new(address), &stopped, pace.pause))
        };
        let senders = (0..pace.senders).map(sender).collect();
        Self { stopped, senders }
    }

    /// Waits until every sender has the answer it waits for.
    pub(super) fn stop(self) {
        self.stopped.store(true, Ordering::Release);
        for sender in self.senders {
            sender.join().unwrap();
        }
    }
}

fn send(ledger: &Ledger, mut client: Client, stopped: &AtomicBool, pause: Duration) {
    while !stopped.load(Ordering::Acquire) {
        let (number, event) = ledger.take();
        for _ in 0..=(number + 1) % 2 {
            while ledger.deliver(&mut client, number, &event) != Answer::Acknowledged {
                if stopped.load(Ordering::Acquire) {
                    return;
                }
                std::thread::sleep(AGAIN_AFTER);
            }
        }
        // The rate of the load, not a wait.
        std::thread::sleep(pause);
    }
}
