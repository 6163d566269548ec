//! The committer: everything that arrived while the last commit was in flight becomes the next commit. No delay is added, and
//! one fsync serves many deliveries.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use billhook_core::failpoint;
use billhook_core::metrics::Metrics;
use billhook_store::{Delivery, Store};
use billhook_stripe::envelope::Envelope;
use tokio::sync::{mpsc, oneshot};

use crate::applier::{Applier, Committed};
use crate::ingest::{Gauge, Receipt, Refusal, Reserved};

/// Bytes of bodies in one commit: bounds the memory of one statement.
const BATCH_BYTES_MAX: usize = 4 << 20;

/// A delivery whose request waits for the commit.
pub(crate) struct Waiting {
    pub(crate) delivery: Delivery,
    pub(crate) request: Request,
}

/// What is left of a request once its delivery is on its way.
pub(crate) struct Request {
    pub(crate) envelope: Option<Envelope>,
    pub(crate) reply: oneshot::Sender<Result<Receipt, Refusal>>,
    pub(crate) _reserved: Reserved,
}

pub(crate) struct Committer {
    pub(crate) store: Store,
    pub(crate) applier: Applier,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) gauge: Arc<Gauge>,
    pub(crate) batch_deliveries_max: usize,
}

impl Committer {
    /// Runs until every sender is gone and what they sent is committed.
    pub(crate) async fn run(self, mut waiting: mpsc::Receiver<Waiting>) {
        let mut kept: Option<Waiting> = None;
        loop {
            let first = match kept.take() {
                Some(first) => first,
                None => match waiting.recv().await {
                    Some(first) => first,
                    None => return,
                },
            };
            let mut bytes = first.delivery.raw.len();
            let mut batch = vec![first];
            while batch.len() < self.batch_deliveries_max {
                let Ok(next) = waiting.try_recv() else { break };
                bytes += next.delivery.raw.len();
                if bytes > BATCH_BYTES_MAX {
                    kept = Some(next);
                    break;
                }
                batch.push(next);
            }
            self.commit(batch).await;
        }
    }

    async fn commit(&self, batch: Vec<Waiting>) {
        // A request that gave up was answered 503; Stripe sends it again.
        let batch: Vec<Waiting> = batch.into_iter().filter(|waiting| !waiting.request.reply.is_closed()).collect();
        if batch.is_empty() {
            return;
        }
        let (deliveries, requests): (Vec<Delivery>, Vec<Request>) =
            batch.into_iter().map(|waiting| (waiting.delivery, waiting.request)).unzip();
        let deliveries: Arc<[Delivery]> = deliveries.into();
        let started = Instant::now();
        match self.store.insert_deliveries(Arc::clone(&deliveries)).await {
            Ok(sequences) => {
                self.gauge.failing.store(false, Ordering::Relaxed);
                self.metrics.commit_seconds.observe(started.elapsed().as_secs_f64());
                self.metrics.commit_batch_deliveries.observe(requests.len() as f64);
                self.acknowledge(&deliveries, requests, sequences);
                failpoint::hit("after_acknowledge");
            }
            Err(error) => {
                if !self.gauge.failing.swap(true, Ordering::Relaxed) {
                    tracing::error!(%error, deliveries = requests.len(), "deliveries could not be committed and are answered 503");
                }
                for request in requests {
                    let _ = request.reply.send(Err(Refusal::Unavailable));
                }
            }
        }
    }

    /// Answers the requests and hands what is new to the applier. A request that is gone does not matter: its delivery is durable.
    fn acknowledge(&self, deliveries: &[Delivery], requests: Vec<Request>, sequences: Vec<Option<i64>>) {
        let mut committed = Vec::with_capacity(requests.len());
        for ((delivery, request), sequence) in deliveries.iter().zip(requests).zip(sequences) {
            let Request { envelope, reply, _reserved } = request;
            let _ = reply.send(Ok(if sequence.is_some() { Receipt::Accepted } else { Receipt::Duplicate }));
            if let Some(sequence) = sequence {
                committed.push(Committed::new(delivery, sequence, envelope));
            }
        }
        self.applier.hand_over(committed);
    }
}
