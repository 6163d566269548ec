//! Faults that are injected on request, switchable while the simulator runs.

mod rule;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::account::Account;
use crate::random::Random;
use rule::Rules;

pub use rule::Limit;

/// What goes wrong with a request to the API.
#[derive(Debug, Clone, PartialEq)]
pub enum ApiFault {
    /// 429, as when a rate limit is exceeded.
    RateLimited {
        /// Seconds in `Retry-After`; without it the header is left out.
        retry_after: Option<u32>,
        /// Value of `Stripe-Rate-Limited-Reason`; without it the header is left out.
        reason: Option<String>,
    },
    /// An error of Stripe's own.
    Status {
        /// 500, 502, 503, 409, ….
        status: u16,
        /// Value of `Stripe-Should-Retry`; without it the header is left out.
        should_retry: Option<bool>,
    },
    /// A refusal as for a product that the account does not have: `invalid_request_error` with a message.
    Refused {
        /// 400, 403, 404, ….
        status: u16,
        /// What Stripe says, e.g. `Your account is not set up to use Issuing.`
        message: String,
    },
    /// A complete answer whose JSON ends in the middle.
    HalfJson,
    /// The connection ends in the middle of the body.
    Cut,
    /// The body comes a little at a time.
    Drip {
        /// Bytes per second.
        bytes_per_second: u32,
    },
    /// No answer for this long, and then the right one.
    Hang(Duration),
    /// The connection is reset before the answer.
    Reset,
    /// An answer with `Content-Encoding: gzip` that expands to this many bytes.
    GzipBomb {
        /// Size after expansion.
        bytes: u64,
    },
    /// 200 with a web page, as a captive portal gives.
    Html,
    /// The right answer, followed inside its JSON by spaces up to this size.
    HugePage {
        /// Size of the body.
        bytes: usize,
    },
    /// Lists ignore the cursor and say that there is more: the same page again and again.
    RepeatPage,
    /// Lists are empty and say that there is more.
    EmptyPage,
    /// Lists begin with the object of the cursor once more.
    RepeatIds,
    /// Lists are given oldest first.
    Misordered,
    /// The object that the cursor names is removed just before the answer.
    DeleteCursor,
    /// After each page of a list one object of its kind is created, one changed and one removed, with their events.
    Mutate,
}

/// What goes wrong with an event or its delivery.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum EventFault {
    /// The event is neither listed nor delivered: only the oracle's log knows that something happened.
    NeverGenerated,
    /// The event is listed and not delivered.
    Drop,
    /// The event is delivered twice.
    Duplicate,
    /// The delivery waits for a random time up to this long, so that later ones overtake it.
    Reorder(Duration),
    /// The delivery waits for this long.
    Delay(Duration),
}

type BetweenPages = Box<dyn FnMut(&mut Account) + Send>;

#[derive(Default)]
struct State {
    api: Rules<ApiFault>,
    events: Rules<EventFault>,
    between_pages: Vec<(String, BetweenPages)>,
    next_id: u64,
}

/// The switches. Clones share them.
#[derive(Clone)]
pub struct Faults {
    state: Arc<Mutex<State>>,
    random: Arc<Mutex<Random>>,
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Faults").finish_non_exhaustive()
    }
}

impl Faults {
    /// No faults. The seed decides which requests and events faults with a share hit.
    pub fn new(seed: u64) -> Self {
        // Another stream than the account's, so that faults do not change its ids.
        Self { state: Arc::default(), random: Arc::new(Mutex::new(Random::new(seed ^ 0x5EED_FA17))) }
    }

    /// Adds a fault for requests whose path begins with `path` (`/v1/invoices`; empty for all). Returns its number.
    pub fn api(&self, path: &str, fault: ApiFault, limit: Limit) -> u64 {
        let mut state = self.lock();
        let id = state.take_id();
        state.api.add(id, path, fault, limit);
        id
    }

    /// Adds a fault for events whose type begins with `event_type` (`customer.`; empty for all). Returns its number.
    pub fn events(&self, event_type: &str, fault: EventFault, limit: Limit) -> u64 {
        let mut state = self.lock();
        let id = state.take_id();
        state.events.add(id, event_type, fault, limit);
        id
    }

    /// Does something to the account after each page of the lists whose path begins with `path`.
    pub fn between_pages(&self, path: &str, act: impl FnMut(&mut Account) + Send + 'static) {
        self.lock().between_pages.push((path.to_owned(), Box::new(act)));
    }

    /// How often a fault has happened.
    pub fn fired(&self, id: u64) -> u64 {
        let state = self.lock();
        state.api.fired(id) + state.events.fired(id)
    }

    /// Ends one fault.
    pub fn remove(&self, id: u64) {
        let mut state = self.lock();
        state.api.end(id);
        state.events.end(id);
    }

    /// Ends all faults. Their counts stay readable.
    pub fn clear(&self) {
        let mut state = self.lock();
        state.api.end_all();
        state.events.end_all();
        state.between_pages.clear();
    }

    /// The faults that hit this request.
    pub(crate) fn hit_request(&self, path: &str) -> Vec<ApiFault> {
        let mut state = self.lock();
        if state.api.is_quiet() { Vec::new() } else { state.api.hit(path, &mut self.random()) }
    }

    /// The faults that hit this event.
    pub(crate) fn hit_event(&self, event_type: &str, relevant: fn(&EventFault) -> bool) -> Vec<EventFault> {
        let mut state = self.lock();
        if state.events.is_quiet() {
            return Vec::new();
        }
        state.events.hit_relevant(event_type, relevant, &mut self.random())
    }

    /// A seeded number for the faults themselves.
    pub(crate) fn random(&self) -> MutexGuard<'_, Random> {
        self.random.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Runs what shall happen after a page. The switches are not locked meanwhile, so that the act itself may emit events.
    pub(crate) fn after_page(&self, path: &str, account: &mut Account) {
        let acts = std::mem::take(&mut self.lock().between_pages);
        if acts.is_empty() {
            return;
        }
        let mut acts = acts;
        for (prefix, act) in &mut acts {
            if path.starts_with(prefix.as_str()) {
                act(account);
            }
        }
        let mut state = self.lock();
        acts.append(&mut state.between_pages);
        state.between_pages = acts;
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn take_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }
}
