//! Committed deliveries in memory, by lane. Bounded: what does not fit stays in the database's queue and is read back later.

use std::collections::{HashSet, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Notify;

use crate::applier::Committed;

/// The lane key of an object: deliveries with the same key are applied one after another.
pub(crate) fn lane_key(object_id: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    object_id.hash(&mut hasher);
    hasher.finish()
}

/// What the queue remembers of a delivery besides its body, in bytes: envelope, ids, bookkeeping.
const OVERHEAD_BYTES: usize = 600;

/// How long a lane gathers deliveries before it applies them, in milliseconds. A transaction costs ten round trips or a rewrite
/// of the pages at the end of every index, however little it holds; a row this much later harms nobody.
const GATHER_MS: u64 = 50;

pub(crate) struct Queue {
    lanes: Vec<Notify>,
    state: Mutex<State>,
    bytes_max: usize,
    /// Something was left in the database because memory was full.
    overflowed: AtomicBool,
    /// Wakes the backlog reader when there is room again.
    pub(crate) room: Notify,
}

struct State {
    lanes: Vec<VecDeque<Committed>>,
    /// Sequences that are queued or being applied here.
    present: HashSet<i64>,
    bytes: usize,
    closed: bool,
}

fn size_of(committed: &Committed) -> usize {
    committed.delivery.raw.len() + OVERHEAD_BYTES
}

impl Queue {
    pub(crate) fn new(lanes: usize, bytes_max: usize) -> Self {
        let lanes = lanes.max(1);
        Self {
            lanes: (0..lanes).map(|_| Notify::new()).collect(),
            state: Mutex::new(State {
                lanes: (0..lanes).map(|_| VecDeque::new()).collect(),
                present: HashSet::new(),
                bytes: 0,
                closed: false,
            }),
            bytes_max,
            overflowed: AtomicBool::new(false),
            room: Notify::new(),
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Takes deliveries as far as there is room; the rest waits in the database. Known sequences are passed over.
    pub(crate) fn push(&self, deliveries: Vec<Committed>) {
        let mut woken = vec![false; self.lanes.len()];
        {
            let mut state = self.state();
            for committed in deliveries {
                let size = size_of(&committed);
                if state.bytes + size > self.bytes_max && state.bytes > 0 {
                    self.overflowed.store(true, Ordering::Relaxed);
                    continue;
                }
                if state.present.insert(committed.delivery.sequence) {
                    let lane = (committed.lane_key % self.lanes.len() as u64) as usize;
                    state.bytes += size;
                    state.lanes[lane].push_back(committed);
                    woken[lane] = true;
                }
            }
        }
        for (lane, woken) in self.lanes.iter().zip(woken) {
            if woken {
                lane.notify_one();
            }
        }
    }

    /// The next deliveries of a lane; waits for them, and then up to [`GATHER_MS`] for more. `None` when the queue is closed.
    pub(crate) async fn take(&self, lane: usize, deliveries_max: usize) -> Option<Vec<Committed>> {
        let mut gathered = false;
        loop {
            let notified = self.lanes[lane].notified();
            let waiting = {
                let mut state = self.state();
                if state.closed {
                    return None;
                }
                let queue = &mut state.lanes[lane];
                let waiting = queue.len();
                if waiting >= deliveries_max || (waiting > 0 && gathered) {
                    return Some(queue.drain(..waiting.min(deliveries_max)).collect());
                }
                waiting
            };
            if waiting > 0 {
                gathered = true;
                tokio::time::sleep(Duration::from_millis(GATHER_MS)).await;
            } else {
                notified.await;
            }
        }
    }

    /// Forgets deliveries that were applied, or that stay in the database for later.
    pub(crate) fn done(&self, finished: impl Iterator<Item = (i64, usize)>) {
        let mut state = self.state();
        for (sequence, body_bytes) in finished {
            state.present.remove(&sequence);
            state.bytes = state.bytes.saturating_sub(body_bytes + OVERHEAD_BYTES);
        }
        if state.bytes < self.bytes_max / 2 && self.overflowed.load(Ordering::Relaxed) {
            self.room.notify_one();
        }
    }

    /// Whether deliveries were left in the database since the last call.
    pub(crate) fn take_overflow(&self) -> bool {
        self.overflowed.swap(false, Ordering::Relaxed)
    }

    /// Notes again that the database holds more than fits.
    pub(crate) fn set_overflow(&self) {
        self.overflowed.store(true, Ordering::Relaxed);
    }

    /// Bytes that fit.
    pub(crate) fn room_bytes(&self) -> usize {
        self.bytes_max.saturating_sub(self.state().bytes)
    }

    /// Sequences that are queued or being applied here.
    pub(crate) fn present(&self) -> Vec<i64> {
        self.state().present.iter().copied().collect()
    }

    /// Ends all lanes; what is queued stays in the database.
    pub(crate) fn close(&self) {
        self.state().closed = true;
        self.lanes.iter().for_each(Notify::notify_one);
    }
}
