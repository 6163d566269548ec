//! How fast Stripe is asked: a limit for everything, one for each endpoint, and a small share for the background.
//!
//! Each scope has a pace, a window of a second in which there are never more requests than its rate, and a bound of requests
//! at once. What Stripe answers moves them, see [`scope`]. Who waits is let through in the order of classes, and within a class in the
//! order of arrival; who waits for a busy endpoint keeps nobody else waiting.

mod endpoint;
mod scope;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::Instant;

use super::{Class, Rate};
pub(super) use endpoint::endpoint;
use scope::{Ready, Scope, Sign};

/// Half of Stripe's documented 100 requests a second in live mode.
const LIVE_PER_SECOND: u32 = 50;

/// Half of Stripe's documented 25 requests a second in test mode, rounded down; also half of those of one endpoint in any mode.
const TEST_PER_SECOND: u32 = 12;

/// Endpoints that are told apart; the rest, which only odd paths could make, share one scope.
const ENDPOINTS_MAX: usize = 1_000;

/// The background's share of a rate that has fallen.
const BACKGROUND_SHARE_MAX: f64 = 0.1;

/// Least rate of the background, in requests per second: one in 100 s.
const BACKGROUND_PER_SECOND_MIN: f64 = 0.01;

/// What Stripe's answer says about its limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Learned {
    /// The request was let through.
    Accepted,
    /// Nothing: there was no answer, or the limit is one of a single object.
    Nothing,
    /// Turned away for the rate of everything.
    GlobalRate,
    /// Turned away for the rate of this endpoint.
    EndpointRate,
    /// Turned away for a rate, and Stripe does not say which.
    SomeRate,
    /// Turned away for the number of requests at once.
    GlobalConcurrency,
    /// Turned away for the number of requests at once to this endpoint.
    EndpointConcurrency,
}

impl Learned {
    fn signs(self) -> (Sign, Sign) {
        match self {
            Self::Accepted => (Sign::Accepted, Sign::Accepted),
            Self::Nothing => (Sign::Silent, Sign::Silent),
            Self::GlobalRate => (Sign::TooFast, Sign::Silent),
            Self::EndpointRate => (Sign::Silent, Sign::TooFast),
            Self::SomeRate => (Sign::TooFast, Sign::TooFast),
            Self::GlobalConcurrency => (Sign::TooMany, Sign::Silent),
            Self::EndpointConcurrency => (Sign::Silent, Sign::TooMany),
        }
    }
}

/// The greatest rates in requests per second, of everything and of one endpoint.
fn configured(rate: Rate, livemode: Option<bool>) -> (Option<f64>, Option<f64>) {
    match rate {
        Rate::Auto => {
            let all = if livemode == Some(true) { LIVE_PER_SECOND } else { TEST_PER_SECOND };
            (Some(f64::from(all)), Some(f64::from(TEST_PER_SECOND)))
        }
        Rate::Max(most) => (Some(f64::from(most.max(1))), Some(f64::from(most.max(1)))),
        Rate::Unlimited => (None, None),
    }
}

/// Position in the queue: class, then arrival.
type Place = (u8, u64);

/// Interactive first. The background comes before the backfill, but only with what its own small share allows: else a backfill of many
/// hours would stop it altogether.
fn precedence(class: Class) -> u8 {
    match class {
        Class::Interactive => 0,
        Class::Background => 1,
        Class::Backfill => 2,
    }
}

/// The limiter; shared by all requests.
#[derive(Debug)]
pub(super) struct Limiter {
    state: Mutex<State>,
    /// Told whenever somebody who waits may have become the next.
    changed: Notify,
    arrivals: AtomicU64,
}

#[derive(Debug)]
struct State {
    all: Scope,
    endpoints: HashMap<Arc<str>, Scope>,
    endpoint_most: Option<f64>,
    background: Scope,
    background_most: f64,
    waiting: BTreeMap<Place, (Class, Arc<str>)>,
}

impl Limiter {
    pub(super) fn new(rate: Rate, livemode: Option<bool>, background: f64) -> Self {
        let now = Instant::now();
        let (most, endpoint_most) = configured(rate, livemode);
        let state = State {
            all: Scope::new(most, now),
            endpoints: HashMap::new(),
            endpoint_most,
            background: Scope::new(Some(background), now),
            background_most: background,
            waiting: BTreeMap::new(),
        };
        Self { state: Mutex::new(state), changed: Notify::new(), arrivals: AtomicU64::new(0) }
    }

    pub(super) fn set_background(&self, per_second: f64) {
        let per_second = if per_second.is_finite() { per_second } else { 0.0 };
        self.lock().background_most = per_second.max(BACKGROUND_PER_SECOND_MIN);
        self.changed.notify_waiters();
    }

    /// A place in the order of arrival, which a request keeps for all its attempts.
    pub(super) fn arrive(&self) -> u64 {
        self.arrivals.fetch_add(1, Ordering::Relaxed)
    }

    /// Waits until the request may be sent. Dropping the future gives the place up.
    pub(super) async fn admit(self: &Arc<Self>, class: Class, endpoint: &str, arrival: u64) -> Permit {
        let place = (precedence(class), arrival);
        let endpoint = self.lock().enter(place, class, endpoint);
        let _entry = Entry { limiter: self, place };
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            // From here on no change is missed.
            changed.as_mut().enable();
            let began = Instant::now();
            let turn = self.lock().take(place, began);
            match turn {
                Turn::Now(epochs) => {
                    let limiter = Arc::clone(self);
                    return Permit { limiter, class, endpoint, began, epochs, learned: Learned::Nothing };
                }
                Turn::At(instant) => tokio::select! {
                    () = changed => {}
                    () = tokio::time::sleep_until(instant) => {}
                },
                Turn::AfterAnother => changed.await,
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What a request in the queue is to do.
enum Turn {
    /// Go; with the epochs of the scopes it counts for.
    Now((u64, u64, u64)),
    /// Ask again at this instant.
    At(Instant),
    /// Ask again when another has gone, ended or given up.
    AfterAnother,
}

impl State {
    fn enter(&mut self, place: Place, class: Class, endpoint: &str) -> Arc<str> {
        let known = self.endpoints.get_key_value(endpoint).map(|(name, _)| Arc::clone(name));
        let name = known.unwrap_or_else(|| {
            let name: Arc<str> = if self.endpoints.len() < ENDPOINTS_MAX { endpoint.into() } else { "other".into() };
            self.endpoints.entry(Arc::clone(&name)).or_insert_with(|| Scope::new(self.endpoint_most, Instant::now()));
            name
        });
        self.waiting.insert(place, (class, Arc::clone(&name)));
        name
    }

    fn take(&mut self, place: Place, now: Instant) -> Turn {
        let Some((class, endpoint)) = self.waiting.get(&place).cloned() else { return Turn::AfterAnother };
        match self.ready(class, &endpoint, now) {
            Ready::WhenOneEnds => return Turn::AfterAnother,
            Ready::At(instant) if instant > now => return Turn::At(instant),
            Ready::At(_) => {}
        }
        let ahead: Vec<(Class, Arc<str>)> = self.waiting.range(..place).map(|(_, waiting)| waiting.clone()).collect();
        for (class, endpoint) in ahead {
            if matches!(self.ready(class, &endpoint, now), Ready::At(instant) if instant <= now) {
                return Turn::AfterAnother;
            }
        }
        let background = if class == Class::Background { self.background.begin(now) } else { 0 };
        let of_endpoint = self.endpoints.get_mut(&endpoint).map_or(0, |scope| scope.begin(now));
        Turn::Now((self.all.begin(now), of_endpoint, background))
    }

    /// When a request may go as far as its scopes are concerned.
    fn ready(&mut self, class: Class, endpoint: &str, now: Instant) -> Ready {
        let mut at = now;
        let all = self.all.ready(now);
        let of_endpoint = self.endpoints.get_mut(endpoint).map(|scope| scope.ready(now));
        let background = (class == Class::Background).then(|| {
            let share = self.all.rate().map_or(f64::INFINITY, |rate| rate * BACKGROUND_SHARE_MAX);
            self.background.configure(self.background_most.min(share).max(BACKGROUND_PER_SECOND_MIN));
            self.background.ready(now)
        });
        for ready in [Some(all), of_endpoint, background].into_iter().flatten() {
            match ready {
                Ready::WhenOneEnds => return Ready::WhenOneEnds,
                Ready::At(instant) => at = at.max(instant),
            }
        }
        Ready::At(at)
    }
}

/// A place in the queue, given up when dropped.
struct Entry<'a> {
    limiter: &'a Limiter,
    place: Place,
}

impl Drop for Entry<'_> {
    fn drop(&mut self) {
        self.limiter.lock().waiting.remove(&self.place);
        self.limiter.changed.notify_waiters();
    }
}

/// Leave for one attempt. It counts as in flight until it is dropped.
#[derive(Debug)]
pub(super) struct Permit {
    limiter: Arc<Limiter>,
    class: Class,
    endpoint: Arc<str>,
    began: Instant,
    epochs: (u64, u64, u64),
    learned: Learned,
}

impl Permit {
    /// Ends the attempt with what its answer says, and sends nothing to where it was turned away for `hold`.
    pub(super) fn end(mut self, learned: Learned, hold: Option<Duration>) {
        self.learned = learned;
        if let Some(hold) = hold {
            let until = Instant::now() + hold;
            let mut state = self.limiter.lock();
            let (all, of_endpoint) = learned.signs();
            if all == Sign::TooFast && of_endpoint == Sign::Silent {
                state.all.hold(until);
            } else if of_endpoint == Sign::TooFast
                && let Some(scope) = state.endpoints.get_mut(&self.endpoint)
            {
                scope.hold(until);
            }
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let now = Instant::now();
        let (all, of_endpoint) = self.learned.signs();
        let mut state = self.limiter.lock();
        // By endpoints: a list takes longer than a single object, and that is no journey.
        let duration = now.duration_since(self.began);
        let is_accepted = self.learned == Learned::Accepted;
        let journey = match state.endpoints.get_mut(&self.endpoint) {
            Some(scope) => scope.journey(duration, is_accepted),
            None => Duration::ZERO,
        };
        let sent = (self.began, journey);
        state.all.ended(now, sent, self.epochs.0, all);
        if let Some(scope) = state.endpoints.get_mut(&self.endpoint) {
            scope.ended(now, sent, self.epochs.1, of_endpoint);
        }
        if self.class == Class::Background {
            state.background.ended(now, sent, self.epochs.2, Sign::Silent);
        }
        drop(state);
        self.limiter.changed.notify_waiters();
    }
}

#[cfg(test)]
mod tests;
