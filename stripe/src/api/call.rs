//! A request with all its attempts.

use std::sync::{Arc, Weak};
use std::time::Duration;

use billhook_core::metrics::{Metrics, Outcome};
use billhook_core::{Clock, Secret};
use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName};
use tokio::time::Instant;

use super::backoff::Attempts;
use super::base::{Base, form_body};
use super::gate::{Gate, Look};
use super::rate::{Learned, Limiter, Permit, endpoint};
use super::transport::{Received, Request, Transport, form_header, header_value, standing_headers};
use super::verdict::{self, Judged, Verdict};
use super::{Answer, ApiError, ApiOptions, BACKGROUND_REQUESTS_PER_SECOND, Class, Failure, Limits, OnKeyRefused};

/// What tells whether a key works: a read that every key of Billhook is allowed. One that lacks the permission works, too.
const PROBE: (&str, [(&str, &str); 1]) = ("/v1/events", [("limit", "1")]);

/// Characters of an idempotency key.
const IDEMPOTENCY_KEY_CHARACTERS_MAX: usize = 255;

/// Beginning of account ids.
const ACCOUNT_PREFIX: &str = "acct_";

/// What the clones of a client share.
#[derive(Debug)]
pub(super) struct Client {
    base: Base,
    transport: Transport,
    pub(super) limiter: Arc<Limiter>,
    pub(super) gate: Gate,
    headers: HeaderMap,
    account: String,
    pub(super) version: String,
    on_key_refused: OnKeyRefused,
    limits: Limits,
    observer: Observer,
}

/// Where times come from, and where they are counted.
struct Observer {
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
}

impl std::fmt::Debug for Observer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("Observer")
    }
}

/// One request, before its first attempt.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) method: &'a Method,
    pub(super) path: &'a str,
    pub(super) query: &'a [(String, String)],
    pub(super) account: &'a str,
    pub(super) class: Class,
    pub(super) form: Option<&'a [(String, String)]>,
    pub(super) idempotency_key: Option<&'a str>,
}

/// What a refusal of the key comes to.
enum Refusal {
    /// There is another key by now.
    Again,
    /// The key works; only this request is refused.
    OnlyThis,
    /// All requests wait.
    Paused,
}

impl Client {
    pub(super) fn new(options: ApiOptions, clock: Arc<dyn Clock>, metrics: Arc<Metrics>) -> Result<Self, ApiError> {
        let base = Base::parse(&options.base)?;
        let look_every = Duration::from_millis(options.limits.key_look_ms);
        let gate = Gate::new(options.key, look_every, Arc::clone(&metrics))?;
        let limiter = Limiter::new(options.requests_per_second, gate.livemode(), BACKGROUND_REQUESTS_PER_SECOND);
        Ok(Self {
            transport: Transport::new(&base, options.limits)?,
            base,
            limiter: Arc::new(limiter),
            gate,
            headers: standing_headers(&options.version)?,
            account: options.account.unwrap_or_default(),
            version: options.version,
            on_key_refused: options.on_key_refused,
            limits: options.limits,
            observer: Observer { clock, metrics },
        })
    }

    /// Path and query of a page that an answer names.
    pub(super) fn next_page(&self, link: &str) -> Result<String, ApiError> {
        self.base.next_page(link)
    }

    /// Makes attempts until there is an answer or no sense in another one.
    pub(super) async fn call(self: &Arc<Self>, call: Call<'_>) -> Result<Answer, ApiError> {
        let request = self.request(&call)?;
        let endpoint = endpoint(call.method.as_str(), call.path);
        let arrival = self.limiter.arrive();
        let mut attempts = Attempts::default();
        loop {
            self.gate.look_if_due().await;
            self.pass_gate().await?;
            let permit = self.limiter.admit(call.class, &endpoint, arrival).await;
            // It may have waited long for its turn.
            if self.gate.is_paused() {
                continue;
            }
            let (key, generation) = self.gate.current();
            let (verdict, received) = self.attempt(&call, &request, &key, permit, &mut attempts).await;
            let (error, failed) = match verdict {
                Verdict::Done => match received {
                    Some(received) => return Ok(self.answer(&call, received)),
                    // There is no such verdict without an answer.
                    None => return Err(ApiError::Unavailable(Box::new(request_failure(&call)))),
                },
                Verdict::Final(error) => return Err(error),
                Verdict::Key(failure) => {
                    self.settle_refusal(generation, failure).await?;
                    continue;
                }
                Verdict::Again { error, failed } => (error, failed),
            };
            let Some(pause) = attempts.next_pause(&self.limits, failed) else { return Err(error) };
            self.observer.metrics.api_retries.inc();
            tokio::time::sleep(pause).await;
        }
    }

    /// Asks once, and tells the limiter and the metrics what came of it.
    async fn attempt(
        &self,
        call: &Call<'_>,
        request: &Request,
        key: &Secret,
        permit: Permit,
        attempts: &mut Attempts,
    ) -> (Verdict, Option<Received>) {
        let start = Instant::now();
        let received = self.transport.attempt(request, key).await;
        attempts.spend(start.elapsed());
        let (judged, received) = match received {
            Ok(received) => (verdict::of_received(&received, request_failure(call)), Some(received)),
            Err(broken) => (verdict::of_broken(broken, request_failure(call)), None),
        };
        self.observe(call, &judged, received.as_ref(), start.elapsed());
        permit.end(judged.learned, hold(&judged));
        (judged.verdict, received)
    }

    /// After a refusal of the key: whether the request is to be made again, now or after the pause.
    async fn settle_refusal(self: &Arc<Self>, generation: u64, failure: Box<Failure>) -> Result<(), ApiError> {
        match self.key_refused(generation, &failure).await {
            Refusal::OnlyThis => Err(ApiError::NoPermission(failure)),
            Refusal::Paused if self.on_key_refused == OnKeyRefused::Fail => Err(ApiError::KeyRefused(failure)),
            Refusal::Again | Refusal::Paused => Ok(()),
        }
    }

    fn request(&self, call: &Call<'_>) -> Result<Request, ApiError> {
        let mut headers = self.headers.clone();
        let account = if call.account.is_empty() { &self.account } else { call.account };
        if !account.is_empty() {
            headers.insert(account_header(call.path, account), header_value(account, "the account of a request")?);
        }
        if let Some(key) = call.idempotency_key {
            if key.len() > IDEMPOTENCY_KEY_CHARACTERS_MAX {
                return Err(ApiError::Configuration("an idempotency key has more than 255 characters".to_owned()));
            }
            headers.insert(HeaderName::from_static("idempotency-key"), header_value(key, "the idempotency key")?);
        }
        let body = call.form.map(|form| Bytes::from(form_body(form)));
        headers.extend(body.is_some().then(form_header));
        Ok(Request { method: call.method.clone(), url: self.base.join(call.path, call.query)?, headers, body })
    }

    /// Waits while requests are paused, or fails when that is wanted.
    async fn pass_gate(&self) -> Result<(), ApiError> {
        if self.on_key_refused == OnKeyRefused::Fail
            && let Some(failure) = self.gate.refusal()
        {
            return Err(ApiError::KeyRefused(failure));
        }
        self.gate.working().await;
        Ok(())
    }

    /// Finds out whether the key is refused for everything, and pauses if so.
    async fn key_refused(self: &Arc<Self>, generation: u64, failure: &Failure) -> Refusal {
        let _one_at_a_time = self.gate.judging.lock().await;
        if self.gate.current().1 != generation || self.gate.look().await == Look::Changed {
            return Refusal::Again;
        }
        if !self.gate.is_paused() {
            // One resource or one account may be refused with the status that a bad key has.
            let works = self.key_works().await;
            if self.gate.current().1 != generation {
                return Refusal::Again;
            }
            if works {
                return Refusal::OnlyThis;
            }
            self.gate.pause(failure);
            tokio::spawn(watch(Arc::downgrade(self)));
        }
        Refusal::Paused
    }

    /// Whether Stripe accepts the key for anything. `false` also when Stripe cannot be asked.
    async fn key_works(&self) -> bool {
        let (path, query) = PROBE;
        let query = query.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let method = Method::GET;
        let call = Call {
            method: &method,
            path,
            query: &query,
            account: "",
            class: Class::Interactive,
            form: None,
            idempotency_key: None,
        };
        let Ok(mut request) = self.request(&call) else { return false };
        // The key itself is in question, not what it may do elsewhere.
        request.headers.remove("stripe-account");
        request.headers.remove("stripe-context");
        let permit = self.limiter.admit(call.class, &endpoint("GET", path), self.limiter.arrive()).await;
        let key = self.gate.current().0;
        match self.attempt(&call, &request, &key, permit, &mut Attempts::default()).await.0 {
            Verdict::Done => true,
            Verdict::Final(error) => !matches!(error, ApiError::Unavailable(_) | ApiError::TooLarge(_)),
            Verdict::Again { .. } | Verdict::Key(_) => false,
        }
    }

    fn answer(&self, call: &Call<'_>, received: Received) -> Answer {
        let date = verdict::date(&received.headers).unwrap_or_else(|| self.observer.clock.now());
        Answer {
            read_at: received.read_at(date),
            body: received.body,
            request_id: verdict::request_id(&received.headers),
            date: date.as_second(),
            path: bare_path(call.path).to_owned(),
        }
    }

    fn observe(&self, call: &Call<'_>, judged: &Judged, received: Option<&Received>, elapsed: Duration) {
        let metrics = &self.observer.metrics;
        metrics.api_requests.get_or_create(&Outcome { outcome: judged.outcome }).inc();
        metrics.api_request_seconds.observe(elapsed.as_secs_f64());
        if judged.outcome == verdict::RATE_LIMITED {
            metrics.api_rate_limited.inc();
        }
        if let Some(date) = received.and_then(|received| verdict::date(&received.headers)) {
            metrics.api_clock_skew_seconds.set(self.observer.clock.now().as_second() - date.as_second());
        }
        tracing::debug!(
            method = %call.method,
            path = bare_path(call.path),
            outcome = judged.outcome,
            status = received.map(|received| received.status),
            request_id = received.and_then(|received| verdict::request_id(&received.headers)),
            elapsed_ms = elapsed.as_millis(),
            "Stripe was asked"
        );
    }
}

/// Looks for a new key, and tries the old one now and then, until requests can go on or nobody is left to make them.
async fn watch(client: Weak<Client>) {
    let mut probed_at = Instant::now();
    loop {
        let Some(look_ms) = client.upgrade().map(|client| client.limits.key_look_ms) else { return };
        tokio::time::sleep(Duration::from_millis(look_ms)).await;
        let Some(client) = client.upgrade() else { return };
        // A new key ends the pause by itself, here or where a request found it.
        if let Look::Unusable(why) = client.gate.look().await {
            client.gate.explain(Some(&why));
        } else {
            client.gate.explain(None);
        }
        if client.gate.is_paused() && probed_at.elapsed() >= Duration::from_millis(client.limits.key_probe_ms) {
            probed_at = Instant::now();
            if client.key_works().await {
                client.gate.resume();
            }
        }
        if !client.gate.is_paused() {
            return;
        }
    }
}

/// How long to send nothing to where this request was turned away.
fn hold(judged: &Judged) -> Option<Duration> {
    match &judged.verdict {
        Verdict::Again { failed, .. } if judged.learned != Learned::Accepted => failed.retry_after,
        _ => None,
    }
}

/// v1 names an account in a header of its own; contexts, and accounts in v2, go into the newer one.
fn account_header(path: &str, account: &str) -> HeaderName {
    let is_plain = account.starts_with(ACCOUNT_PREFIX) && !account.contains('/');
    let name = if is_plain && path.starts_with("/v1/") { "stripe-account" } else { "stripe-context" };
    HeaderName::from_static(name)
}

fn request_failure(call: &Call<'_>) -> Failure {
    let method = match *call.method {
        Method::POST => "POST",
        Method::DELETE => "DELETE",
        _ => "GET",
    };
    Failure { method, path: verdict::bounded_path(bare_path(call.path)), ..Failure::default() }
}

fn bare_path(path: &str) -> &str {
    path.split_once('?').map_or(path, |(bare, _)| bare)
}
