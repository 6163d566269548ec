//! The limiter against model servers, on a clock that jumps from timer to timer.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use super::{Class, Learned, Limiter, Permit, Rate};

/// How long the model server takes to answer.
const LATENCY: Duration = Duration::from_millis(60);

/// How a server counts.
#[derive(Debug, Clone, Copy)]
enum Counting {
    /// Requests of the current second of its clock.
    ClockSeconds,
    /// Requests of the second that ends now.
    Sliding,
    /// Tokens that come at the rate, as many as come in a second at the most.
    Bucket,
}

/// A server that accepts `per_second` requests and turns the others away.
#[derive(Debug)]
struct Model {
    counting: Counting,
    per_second: f64,
    start: Instant,
    accepted: VecDeque<Instant>,
    second: u64,
    tokens: f64,
    filled_at: Instant,
    arrivals: Vec<Instant>,
    successes: usize,
}

impl Model {
    fn new(counting: Counting, per_second: u32) -> Arc<Mutex<Self>> {
        let now = Instant::now();
        Arc::new(Mutex::new(Self {
            counting,
            per_second: f64::from(per_second),
            start: now,
            accepted: VecDeque::new(),
            second: 0,
            tokens: f64::from(per_second),
            filled_at: now,
            arrivals: Vec::new(),
            successes: 0,
        }))
    }

    fn arrive(&mut self) -> bool {
        let now = Instant::now();
        self.arrivals.push(now);
        let accepts = match self.counting {
            Counting::ClockSeconds => {
                let second = now.duration_since(self.start).as_secs();
                if second != self.second {
                    self.second = second;
                    self.accepted.clear();
                }
                (self.accepted.len() as f64) < self.per_second
            }
            Counting::Sliding => {
                while self.accepted.front().is_some_and(|at| now.duration_since(*at) >= Duration::from_secs(1)) {
                    self.accepted.pop_front();
                }
                (self.accepted.len() as f64) < self.per_second
            }
            Counting::Bucket => {
                let gained = now.duration_since(self.filled_at).as_secs_f64() * self.per_second;
                self.tokens = (self.tokens + gained).min(self.per_second);
                self.filled_at = now;
                self.tokens >= 1.0
            }
        };
        if accepts {
            self.tokens -= 1.0;
            self.accepted.push_back(now);
            self.successes += 1;
        }
        accepts
    }

    /// The most arrivals in any second.
    fn most_in_a_second(&self) -> usize {
        let within = |first: &Instant| {
            self.arrivals
                .iter()
                .filter(|at| **at >= *first && at.duration_since(*first) < Duration::from_secs(1))
                .count()
        };
        self.arrivals.iter().map(within).max().unwrap_or(0)
    }
}

/// Asks without end, as one of several workers.
fn worker(
    limiter: &Arc<Limiter>,
    model: &Arc<Mutex<Model>>,
    class: Class,
    refusal: Learned,
) -> tokio::task::JoinHandle<()> {
    let (limiter, model) = (Arc::clone(limiter), Arc::clone(model));
    tokio::spawn(async move {
        loop {
            let permit = limiter.admit(class, "GET /v1/customers", limiter.arrive()).await;
            let accepted = model.lock().unwrap().arrive();
            tokio::time::sleep(LATENCY).await;
            permit.end(if accepted { Learned::Accepted } else { refusal }, None);
        }
    })
}

/// Lets workers ask for a while, then ends them.
async fn run(seconds: u64, workers: Vec<tokio::task::JoinHandle<()>>) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    for worker in workers {
        worker.abort();
    }
}

#[tokio::test(start_paused = true)]
async fn no_second_sees_more_than_the_configured_rate() {
    for rate in [1, 3, 12, 50, 200] {
        let limiter = Arc::new(Limiter::new(Rate::Max(rate), None, 1.0));
        let model = Model::new(Counting::Sliding, 1_000_000);
        // Idle first: what was not used must not become a burst.
        tokio::time::sleep(Duration::from_secs(30)).await;
        let workers = (0..16).map(|_| worker(&limiter, &model, Class::Backfill, Learned::SomeRate)).collect();
        run(20, workers).await;
        let model = model.lock().unwrap();
        assert!(model.most_in_a_second() <= rate as usize, "{rate}: {}", model.most_in_a_second());
        assert!(model.successes as f64 >= 20.0 * f64::from(rate) * 0.97, "{rate}: {}", model.successes);
    }
}

#[tokio::test(start_paused = true)]
async fn the_rate_holds_where_requests_arrive_however_long_they_travel() {
    /// Milliseconds that one request after another travels.
    const JOURNEYS: [u64; 7] = [200, 1, 30, 1, 120, 1, 60];
    for rate in [1, 3, 12, 60] {
        let limiter = Arc::new(Limiter::new(Rate::Max(rate), None, 1.0));
        let model = Model::new(Counting::Sliding, 1_000_000);
        let workers = (0..16)
            .map(|_| {
                let (limiter, model) = (Arc::clone(&limiter), Arc::clone(&model));
                tokio::spawn(async move {
                    loop {
                        let arrival = limiter.arrive();
                        let permit = limiter.admit(Class::Backfill, "GET /v1/customers", arrival).await;
                        let journey = JOURNEYS[arrival as usize % JOURNEYS.len()];
                        tokio::time::sleep(Duration::from_millis(journey)).await;
                        model.lock().unwrap().arrive();
                        tokio::time::sleep(LATENCY).await;
                        permit.end(Learned::Accepted, None);
                    }
                })
            })
            .collect();
        run(20, workers).await;
        let model = model.lock().unwrap();
        assert!(model.most_in_a_second() <= rate as usize, "{rate}: {}", model.most_in_a_second());
        assert!(model.successes as f64 >= 20.0 * f64::from(rate) / 1.2, "{rate}: {}", model.successes);
    }
}

#[tokio::test(start_paused = true)]
async fn half_of_the_documented_budget_is_the_default() {
    for (livemode, endpoints, expected) in
        [(Some(true), 1, 12), (Some(true), 8, 50), (Some(false), 8, 12), (None, 8, 12)]
    {
        let limiter = Arc::new(Limiter::new(Rate::Auto, livemode, 1.0));
        let sent = Arc::new(Mutex::new(0));
        let workers = (0..endpoints * 8)
            .map(|at| {
                let (limiter, sent) = (Arc::clone(&limiter), Arc::clone(&sent));
                tokio::spawn(async move {
                    loop {
                        let endpoint = format!("GET /v1/{}", at % endpoints);
                        let permit = limiter.admit(Class::Backfill, &endpoint, limiter.arrive()).await;
                        *sent.lock().unwrap() += 1;
                        tokio::time::sleep(LATENCY).await;
                        permit.end(Learned::Accepted, None);
                    }
                })
            })
            .collect();
        run(10, workers).await;
        let per_second = *sent.lock().unwrap() / 10;
        assert!((expected - 1..=expected).contains(&per_second), "{livemode:?} {endpoints}: {per_second}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_server_that_allows_a_quarter_is_used_well_and_hardly_annoyed() {
    for counting in [Counting::ClockSeconds, Counting::Sliding, Counting::Bucket] {
        for (allowed, rate, refusal) in [
            (1, Rate::Max(4), Learned::SomeRate),
            (5, Rate::Max(20), Learned::EndpointRate),
            (25, Rate::Max(100), Learned::GlobalRate),
            (25, Rate::Unlimited, Learned::SomeRate),
            (25, Rate::Max(1_000), Learned::EndpointRate),
        ] {
            let limiter = Arc::new(Limiter::new(rate, None, 1.0));
            let model = Model::new(counting, allowed);
            run(60, (0..8).map(|_| worker(&limiter, &model, Class::Backfill, refusal)).collect()).await;
            let model = model.lock().unwrap();
            let (sent, successes) = (model.arrivals.len() as f64, model.successes as f64);
            let what = format!("{counting:?} {allowed} of {rate:?} {refusal:?}: {sent} sent, {successes} accepted");
            assert!(successes >= 60.0 * f64::from(allowed) / 1.2, "too slow: {what}");
            assert!(sent <= 1.2 * successes, "too many refusals: {what}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_rate_comes_back_when_the_server_allows_more_again() {
    let limiter = Arc::new(Limiter::new(Rate::Max(50), None, 1.0));
    let model = Model::new(Counting::Bucket, 2);
    let workers: Vec<_> = (0..16).map(|_| worker(&limiter, &model, Class::Backfill, Learned::SomeRate)).collect();
    tokio::time::sleep(Duration::from_secs(60)).await;
    model.lock().unwrap().per_second = 1_000.0;
    tokio::time::sleep(Duration::from_secs(180)).await;
    let before = model.lock().unwrap().successes;
    run(10, workers).await;
    assert!(model.lock().unwrap().successes - before >= 490);
}

#[tokio::test(start_paused = true)]
async fn the_interactive_is_not_starved_by_the_backfill() {
    let limiter = Arc::new(Limiter::new(Rate::Max(10), None, 1.0));
    let model = Model::new(Counting::Sliding, 1_000);
    let workers: Vec<_> = (0..50).map(|_| worker(&limiter, &model, Class::Backfill, Learned::SomeRate)).collect();
    tokio::time::sleep(Duration::from_secs(5)).await;
    for _ in 0..20 {
        let asked = Instant::now();
        let permit = limiter.admit(Class::Interactive, "GET /v1/customers/{id}", limiter.arrive()).await;
        // A turn of the pace, which may be late by its slack.
        assert!(asked.elapsed() <= Duration::from_millis(120), "{:?}", asked.elapsed());
        permit.end(Learned::Accepted, None);
    }
    run(0, workers).await;
}

#[tokio::test(start_paused = true)]
async fn the_background_has_its_share_and_no_more() {
    for (share, configured, expected) in [(1.0, 50, 60), (5.0, 50, 300), (5.0, 10, 60), (0.1, 50, 6)] {
        let limiter = Arc::new(Limiter::new(Rate::Max(configured), None, 1.0));
        limiter.set_background(share);
        let (busy, quiet) = (Model::new(Counting::Sliding, 1_000), Model::new(Counting::Sliding, 1_000));
        let mut workers: Vec<_> =
            (0..12).map(|_| worker(&limiter, &busy, Class::Backfill, Learned::SomeRate)).collect();
        workers.extend((0..5).map(|_| worker(&limiter, &quiet, Class::Background, Learned::SomeRate)));
        run(60, workers).await;
        let sent = quiet.lock().unwrap().arrivals.len();
        assert!((expected - expected / 20 - 1..=expected + 1).contains(&sent), "{share} of {configured}: {sent}");
    }
}

#[tokio::test(start_paused = true)]
async fn too_many_at_once_lowers_the_number_at_once_and_not_the_rate() {
    let limiter = Arc::new(Limiter::new(Rate::Max(100), None, 1.0));
    let (at_once, most, refused) = (Arc::new(Mutex::new(0)), Arc::new(Mutex::new(0)), Arc::new(Mutex::new(0)));
    let start = Instant::now();
    let workers = (0..40)
        .map(|_| {
            let (limiter, at_once) = (Arc::clone(&limiter), Arc::clone(&at_once));
            let (most, refused) = (Arc::clone(&most), Arc::clone(&refused));
            tokio::spawn(async move {
                loop {
                    let permit = limiter.admit(Class::Backfill, "GET /v1/invoices", limiter.arrive()).await;
                    *at_once.lock().unwrap() += 1;
                    let now = *at_once.lock().unwrap();
                    if start.elapsed() > Duration::from_secs(5) {
                        let mut most = most.lock().unwrap();
                        *most = now.max(*most);
                    }
                    // Slow enough that the rate alone would allow 30 at once.
                    tokio::time::sleep(Duration::from_millis(300)).await;
                    *at_once.lock().unwrap() -= 1;
                    if start.elapsed() > Duration::from_secs(5) {
                        *refused.lock().unwrap() += usize::from(now > 10);
                    }
                    permit.end(if now > 10 { Learned::GlobalConcurrency } else { Learned::Accepted }, None);
                }
            })
        })
        .collect();
    run(60, workers).await;
    assert!((9..=12).contains(&*most.lock().unwrap()), "{most:?}");
    assert!(*refused.lock().unwrap() <= 20, "{refused:?}");
    assert_eq!(limiter.lock().all.rate(), Some(100.0));
}

#[tokio::test(start_paused = true)]
async fn retry_after_holds_what_it_is_about() {
    let limiter = Arc::new(Limiter::new(Rate::Max(10), None, 1.0));
    let start = Instant::now();
    let permit = limiter.admit(Class::Interactive, "GET /v1/invoices", 0).await;
    permit.end(Learned::EndpointRate, Some(Duration::from_secs(7)));
    drop(limiter.admit(Class::Interactive, "GET /v1/customers", 1).await);
    assert!(start.elapsed() < Duration::from_secs(1));
    drop(limiter.admit(Class::Interactive, "GET /v1/invoices", 2).await);
    assert!((7..9).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn who_gives_up_waiting_takes_no_turn() {
    let limiter = Arc::new(Limiter::new(Rate::Max(1), None, 1.0));
    let start = Instant::now();
    let first: Permit = limiter.admit(Class::Interactive, "GET /v1/a", 0).await;
    for arrival in 1..50 {
        let waiting = limiter.admit(Class::Interactive, "GET /v1/a", arrival);
        assert!(tokio::time::timeout(Duration::from_millis(1), waiting).await.is_err());
    }
    drop(first);
    drop(limiter.admit(Class::Backfill, "GET /v1/a", 50).await);
    assert!(start.elapsed() < Duration::from_millis(1_100), "{:?}", start.elapsed());
    assert!(limiter.lock().waiting.is_empty());
}

#[tokio::test(start_paused = true)]
async fn the_order_of_arrival_holds_within_a_class() {
    let limiter = Arc::new(Limiter::new(Rate::Max(100), None, 1.0));
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = Vec::new();
    for arrival in (0..30_u64).rev() {
        let (limiter, order) = (Arc::clone(&limiter), Arc::clone(&order));
        tasks.push(tokio::spawn(async move {
            let permit = limiter.admit(Class::Backfill, "GET /v1/a", arrival + 1).await;
            order.lock().unwrap().push(arrival);
            drop(permit);
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let order = order.lock().unwrap();
    // The first found nobody waiting.
    assert!(order.get(1..).is_some_and(|rest| rest.is_sorted()), "{order:?}");
}
