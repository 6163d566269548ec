//! The client of Stripe's API: reads, a few writes, everything bounded.

mod answer;
mod backoff;
mod base;
mod call;
mod error;
mod gate;
mod key;
mod list;
mod options;
mod rate;
mod transport;
mod verdict;
mod webhook_endpoints;

use std::sync::Arc;

use billhook_core::Clock;
use billhook_core::metrics::Metrics;
use reqwest::Method;
use tokio::sync::watch;

use call::{Call, Client};

pub use answer::Answer;
pub use base::path_segment;
pub use error::{ApiError, Failure};
pub use list::{ListPage, NotAList};
pub use options::{ApiKey, ApiOptions, BACKGROUND_REQUESTS_PER_SECOND, Limits, OnKeyRefused, Rate, STRIPE_BASE};
pub use webhook_endpoints::{EVERY_EVENT, NewWebhookEndpoint, WebhookEndpoint, WebhookEndpointChange};

/// Who goes first when there are more requests than the rate allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// Somebody or something waits for the answer.
    Interactive,
    /// Bulk reading.
    Backfill,
    /// The rolling re-list: a small share of its own, see [`Api::set_background_rate`].
    Background,
}

/// A read.
#[derive(Debug, Clone, Copy)]
pub struct Get<'a> {
    /// `/v1/customers`, or a page's [`ListPage::next_page_url`]. Ids go through [`path_segment`].
    pub path: &'a str,
    /// Parameters, not yet encoded.
    pub query: &'a [(String, String)],
    /// The account or context to read; `""` is the client's own.
    pub account: &'a str,
    /// Its urgency.
    pub class: Class,
}

/// Whether requests are being made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApiState {
    /// They are.
    Working,
    /// Stripe refuses the key, and all requests wait.
    Paused {
        /// What Stripe said and what to do, for a person.
        message: String,
    },
}

/// A client; its clones share connections, key and rate.
#[derive(Debug, Clone)]
pub struct Api {
    client: Arc<Client>,
}

impl Api {
    /// A client. It makes no request yet.
    ///
    /// # Errors
    /// [`ApiError::Configuration`] for a publishable key (`pk_`), an empty or unreadable one, and for a base that is neither
    /// `https` nor on this machine.
    pub fn new(options: ApiOptions, clock: Arc<dyn Clock>, metrics: Arc<Metrics>) -> Result<Self, ApiError> {
        Ok(Self { client: Arc::new(Client::new(options, clock, metrics)?) })
    }

    /// Reads, and tries again as long as that makes sense. While Stripe refuses the key it waits, unless the options want it
    /// to fail; the caller bounds the wait by dropping the future, with which nothing is lost.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn get(&self, request: &Get<'_>) -> Result<Answer, ApiError> {
        let Get { path, query, account, class } = *request;
        self.client.call(Call { path, query, account, class, ..WITHOUT_BODY }).await
    }

    /// Writes a form. All attempts carry `idempotency_key` (at most 255 characters), so that the work is done once.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn post(&self, path: &str, form: &[(String, String)], idempotency_key: &str) -> Result<Answer, ApiError> {
        let idempotency_key = Some(idempotency_key);
        self.client.call(Call { method: &Method::POST, path, form: Some(form), idempotency_key, ..WITHOUT_BODY }).await
    }

    /// Deletes an object. When an attempt was lost on its way, a later one can find nothing to delete: [`ApiError::NotFound`].
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn delete(&self, path: &str) -> Result<Answer, ApiError> {
        self.client.call(Call { method: &Method::DELETE, path, ..WITHOUT_BODY }).await
    }

    /// Path and query of a page that an answer names, absolute or not, for [`Get::path`].
    ///
    /// # Errors
    /// [`ApiError::Configuration`] when it is on another host, which must not see the key.
    pub fn next_page_path(&self, next_page_url: &str) -> Result<String, ApiError> {
        self.client.next_page(next_page_url)
    }

    /// Whether requests are being made, to look at and to wait for.
    pub fn state(&self) -> watch::Receiver<ApiState> {
        self.client.gate.state()
    }

    /// The mode by the key's prefix; `None` for keys without one.
    pub fn livemode(&self) -> Option<bool> {
        self.client.gate.livemode()
    }

    /// The `Stripe-Version` of every request.
    pub fn version(&self) -> &str {
        &self.client.version
    }

    /// Changes the share of [`Class::Background`], in requests per second; at least one in 100 s, and at most a tenth of the
    /// whole rate. It is [`BACKGROUND_REQUESTS_PER_SECOND`] at first.
    pub fn set_background_rate(&self, requests_per_second: f64) {
        self.client.limiter.set_background(requests_per_second);
    }
}

/// What most requests have in common.
const WITHOUT_BODY: Call<'static> = Call {
    method: &Method::GET,
    path: "",
    query: &[],
    account: "",
    class: Class::Interactive,
    form: None,
    idempotency_key: None,
};
