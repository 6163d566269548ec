//! Takes deliveries from the queue, sends them, and retries as Stripe does.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::time::{sleep_until, timeout};

use super::client::Client;
use super::queue::{Delivery, Which};
use super::sign;
use crate::account::{Account, to_bytes};
use crate::clock::wall_ms;
use crate::options::DeliveryOptions;
use crate::shared::Shared;

/// Longest rest of the loop, in seconds: it is woken earlier by new deliveries.
const REST_SECONDS_MAX: u64 = 3_600;

/// Runs until the runtime ends.
pub(crate) async fn run(shared: Arc<Shared>) {
    let client = Arc::new(Client::default());
    loop {
        let concurrency = shared.delivery.concurrency.max(1);
        let (due, next) = {
            let mut account = shared.account_as_is();
            let due = account.queue.take_due(Instant::now(), concurrency);
            (due, account.queue.next_due(concurrency))
        };
        for delivery in due {
            tokio::spawn(attempt(Arc::clone(&shared), Arc::clone(&client), delivery));
        }
        let next = next.unwrap_or_else(|| Instant::now() + Duration::from_secs(REST_SECONDS_MAX));
        tokio::select! {
            () = shared.wake.notified() => {}
            () = sleep_until(next.into()) => {}
        }
    }
}

/// What is sent.
struct Letter {
    url: String,
    signature: String,
    body: Bytes,
}

async fn attempt(shared: Arc<Shared>, client: Arc<Client>, delivery: Delivery) {
    let letter = write(&shared.account_as_is(), &delivery);
    let delivered = match &letter {
        // The endpoint is gone or disabled: nothing is tried any more.
        None => None,
        Some(letter) => {
            let post = client.post(&letter.url, &letter.signature, letter.body.clone());
            let status = timeout(shared.delivery.timeout, post).await;
            Some(matches!(status, Ok(Ok(200..=299))))
        }
    };
    conclude(&mut shared.account_as_is(), &shared.delivery, delivery, delivered);
    shared.attempt_ended.notify_all();
    shared.wake.notify_one();
}

/// The delivery as it is sent now: with the signature of now.
fn write(account: &Account, delivery: &Delivery) -> Option<Letter> {
    let endpoint = account.get("webhook_endpoint", &delivery.endpoint)?;
    if endpoint["status"] != "enabled" {
        return None;
    }
    let livemode = account.livemode();
    let body = match delivery.event {
        Which::Snapshot(place) => {
            let event = account.log.snapshots.get(&place)?;
            event.render(endpoint["api_version"].as_str().unwrap_or(&event.api_version), livemode, account)
        }
        Which::Thin(place) => to_bytes(&account.log.thin.get(&place)?.render(livemode)),
    };
    let secrets = account.endpoints.get(&delivery.endpoint)?.active_secrets();
    let signature = sign::header(&secrets, wall_ms().div_euclid(1_000), &body);
    Some(Letter { url: endpoint["url"].as_str()?.to_owned(), signature, body })
}

/// Books the outcome of an attempt: done, or to be tried again later, or given up.
fn conclude(account: &mut Account, options: &DeliveryOptions, mut delivery: Delivery, delivered: Option<bool>) {
    account.queue.ended(&delivery.endpoint);
    delivery.attempts += 1;
    match delivered {
        Some(true) => {
            if let (Which::Snapshot(place), false) = (delivery.event, delivery.is_copy)
                && let Some(event) = account.log.snapshots.get_mut(&place)
            {
                event.pending = event.pending.saturating_sub(1);
            }
        }
        Some(false) if delivery.attempts < options.attempts_max => {
            let doublings = (delivery.attempts - 1).min(30);
            let wait = options.retry_first.saturating_mul(1 << doublings).min(options.retry_max);
            account.queue.add(delivery, Instant::now() + wait);
        }
        Some(false) | None => {}
    }
}
