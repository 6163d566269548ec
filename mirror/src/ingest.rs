//! From a signed request to a durable delivery.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use billhook_core::metrics::{Metrics, SecretIndex};
use billhook_core::{Clock, Secret, failpoint};
use billhook_store::{Delivery, Store};
use billhook_stripe::envelope::Envelope;
use billhook_stripe::signature::{SignatureError, Verifier};
use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::applier::Applier;
use crate::committer::{self, Request, Waiting};

/// Limits and secrets of ingest.
#[derive(Debug, Clone)]
pub struct IngestOptions {
    /// Active webhook secrets at the start, see [`Ingest::set_secrets`].
    pub secrets: Vec<Secret>,
    /// How far a signature's time may lie from now, in seconds.
    pub tolerance_seconds: i64,
    /// Deliveries that wait for their commit before new ones are refused.
    pub queue_deliveries_max: usize,
    /// Bytes of bodies that wait for their commit before new ones are refused.
    pub queue_bytes_max: usize,
    /// Deliveries in one commit.
    pub batch_deliveries_max: usize,
    /// How long a delivery may wait for its commit before it is answered 503, in milliseconds.
    pub deadline_ms: u64,
    /// Age of the oldest unapplied delivery, in seconds, above which new ones are refused.
    pub lag_seconds_max: u64,
}

/// Why a delivery is answered 200.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Receipt {
    /// It is durable.
    Accepted,
    /// It was durable already.
    Duplicate,
}

/// Why a delivery is not answered 200.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// 400.
    BadSignature,
    /// 503: too much waits.
    Overloaded,
    /// 503: the database is away or too slow.
    Unavailable,
}

/// The secret index of an event that came in the answer to a read, where TLS and not a signature vouches for it.
pub(crate) const NOBODY_SIGNED: i16 = -1;

/// Our clock and the sender's differ by more than this many seconds: worth a warning.
const SKEW_SECONDS_WARN: i64 = 60;

/// Takes deliveries. Cheap to clone.
#[derive(Clone)]
pub struct Ingest {
    shared: Arc<Shared>,
}

struct Shared {
    options: IngestOptions,
    /// Replaced as a whole: who verifies holds the lock only to count a reference.
    verifier: RwLock<Arc<Verifier>>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
    waiting: std::sync::Mutex<Option<mpsc::Sender<Waiting>>>,
    gauge: Arc<Gauge>,
    committer: std::sync::Mutex<Option<JoinHandle<()>>>,
}

/// What the committer and housekeeping tell the requests.
#[derive(Debug, Default)]
pub(crate) struct Gauge {
    /// Bytes of bodies that wait for their commit.
    pub(crate) waiting_bytes: AtomicUsize,
    /// The last commit failed.
    pub(crate) failing: AtomicBool,
    /// The oldest unapplied delivery is older than the limit.
    pub(crate) lagging: AtomicBool,
}

impl Ingest {
    /// Starts the committer, which hands what it committed to `applier`.
    pub fn start(
        options: IngestOptions,
        store: Store,
        applier: Applier,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let (sender, receiver) = mpsc::channel(options.queue_deliveries_max);
        let gauge = Arc::new(Gauge::default());
        let committer = committer::Committer {
            store,
            applier,
            metrics: metrics.clone(),
            gauge: gauge.clone(),
            batch_deliveries_max: options.batch_deliveries_max,
        };
        let shared = Shared {
            verifier: RwLock::new(Arc::new(Verifier::new(&options.secrets))),
            options,
            clock,
            metrics,
            waiting: std::sync::Mutex::new(Some(sender)),
            gauge,
            committer: std::sync::Mutex::new(Some(tokio::spawn(committer.run(receiver)))),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Verifies one delivery and waits until it is durable. `signature` is `None` when the header is missing or repeated.
    ///
    /// # Errors
    /// See [`Refusal`].
    pub async fn receive(&self, signature: Option<&str>, body: Bytes) -> Result<Receipt, Refusal> {
        failpoint::hit("after_receive");
        let now = self.shared.clock.now();
        let secret_index = self.verify(signature, &body, now)?;
        failpoint::hit("after_verify");
        if self.shared.gauge.lagging.load(Ordering::Relaxed) {
            return Err(Refusal::Overloaded);
        }
        let envelope = Envelope::parse(&body).ok();
        let secret_index = i16::try_from(secret_index).unwrap_or(i16::MAX);
        let delivery = delivery(body, envelope.as_ref(), now, secret_index);
        self.commit(delivery, envelope).await
    }

    /// Accepts from now on the signatures by these secrets, and no others. The position of a secret is what deliveries and
    /// metrics name it by.
    pub fn set_secrets(&self, secrets: &[Secret]) {
        let verifier = Arc::new(Verifier::new(secrets));
        *self.shared.verifier.write().unwrap_or_else(PoisonError::into_inner) = verifier;
    }

    /// Whether deliveries are accepted at this moment, for `/readyz`.
    pub fn is_ready(&self) -> bool {
        let gauge = &self.shared.gauge;
        !gauge.failing.load(Ordering::Relaxed) && !gauge.lagging.load(Ordering::Relaxed) && self.sender().is_some()
    }

    /// Takes no more deliveries and waits until those that wait are committed and answered.
    pub async fn stop(&self) {
        drop(lock(&self.shared.waiting).take());
        let committer = lock(&self.shared.committer).take();
        if let Some(committer) = committer
            && let Err(error) = committer.await
        {
            tracing::error!(%error, "the committer ended abnormally");
        }
    }

    /// Tells requests whether the oldest unapplied delivery is older than the limit.
    pub(crate) fn set_backlog_age(&self, age_seconds: f64) {
        let lagging = age_seconds > self.shared.options.lag_seconds_max as f64;
        if self.shared.gauge.lagging.swap(lagging, Ordering::Relaxed) != lagging {
            tracing::warn!(lagging, age_seconds, "the backlog of unapplied deliveries crossed its limit");
        }
    }

    fn sender(&self) -> Option<mpsc::Sender<Waiting>> {
        lock(&self.shared.waiting).clone()
    }

    fn verify(&self, signature: Option<&str>, body: &[u8], now: Timestamp) -> Result<usize, Refusal> {
        let shared = &self.shared;
        let verifier = Arc::clone(&shared.verifier.read().unwrap_or_else(PoisonError::into_inner));
        let verified = signature
            .ok_or(SignatureError::Header)
            .and_then(|header| verifier.verify(header, body, now.as_second(), shared.options.tolerance_seconds));
        match verified {
            Ok(verified) => {
                let index = u32::try_from(verified.secret_index).unwrap_or(u32::MAX);
                shared.metrics.deliveries_by_secret.get_or_create(&SecretIndex { index }).inc();
                self.note_skew(now.as_second().saturating_sub(verified.timestamp));
                Ok(verified.secret_index)
            }
            Err(SignatureError::Time { skew_seconds }) => {
                self.note_skew(skew_seconds);
                Err(Refusal::BadSignature)
            }
            Err(_) => Err(Refusal::BadSignature),
        }
    }

    fn note_skew(&self, skew_seconds: i64) {
        let before = self.shared.metrics.clock_skew_seconds.set(skew_seconds);
        if skew_seconds.abs() > SKEW_SECONDS_WARN && before.abs() <= SKEW_SECONDS_WARN {
            tracing::warn!(
                skew_seconds,
                "an authentic signature's time is far from this machine's clock; check the clock"
            );
        }
    }

    async fn commit(&self, delivery: Delivery, envelope: Option<Envelope>) -> Result<Receipt, Refusal> {
        let shared = &self.shared;
        let sender = self.sender().ok_or(Refusal::Unavailable)?;
        let bytes = delivery.raw.len();
        let permit = sender.try_reserve().map_err(|_| Refusal::Overloaded)?;
        let reserved = Reserved::take(&shared.gauge, bytes, shared.options.queue_bytes_max)?;
        let (reply, answer) = oneshot::channel();
        permit.send(Waiting { delivery, request: Request { envelope, reply, _reserved: reserved } });
        match tokio::time::timeout(Duration::from_millis(shared.options.deadline_ms), answer).await {
            Ok(Ok(result)) => result,
            Ok(Err(_)) | Err(_) => Err(Refusal::Unavailable),
        }
    }
}

fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A share of the bytes that may wait; given back when dropped.
pub(crate) struct Reserved {
    gauge: Arc<Gauge>,
    bytes: usize,
}

impl Reserved {
    fn take(gauge: &Arc<Gauge>, bytes: usize, bytes_max: usize) -> Result<Self, Refusal> {
        let before = gauge.waiting_bytes.fetch_add(bytes, Ordering::Relaxed);
        let reserved = Self { gauge: gauge.clone(), bytes };
        // One delivery is always let through, however large the others allow it to be.
        if before > 0 && before.saturating_add(bytes) > bytes_max { Err(Refusal::Overloaded) } else { Ok(reserved) }
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.gauge.waiting_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// A delivery for the inbox. `secret_index` is [`NOBODY_SIGNED`] for what was read from Stripe.
pub(crate) fn delivery(
    body: Bytes,
    envelope: Option<&Envelope>,
    received_at: Timestamp,
    secret_index: i16,
) -> Delivery {
    let sha256 = sha256(&body);
    let text = |field: fn(&Envelope) -> &Option<String>| envelope.and_then(|e| field(e).clone()).unwrap_or_default();
    Delivery {
        event_id: match envelope.and_then(|envelope| envelope.id.clone()) {
            Some(id) => id,
            None => format!("sha256:{}", hex(&sha256)),
        },
        event_type: text(|e| &e.event_type),
        object: text(|e| &e.object_kind),
        object_id: text(|e| &e.object_id),
        account: text(|e| &e.account),
        api_version: text(|e| &e.api_version),
        created: envelope.and_then(|envelope| envelope.created),
        livemode: envelope.and_then(|envelope| envelope.livemode),
        snapshot_event: text(|e| &e.snapshot_event),
        received_at,
        secret_index,
        raw: body,
        sha256,
    }
}

fn sha256(body: &[u8]) -> [u8; 32] {
    let mut bytes = [0; 32];
    bytes.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, body).as_ref());
    bytes
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
