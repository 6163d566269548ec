//! The client of Stripe's API: reads, a few writes, everything bounded.

mod answer;
mod error;
mod list;
mod options;
mod rate;

use std::sync::Arc;

use billhook_core::Clock;
use billhook_core::metrics::Metrics;
use tokio::sync::watch;

pub use answer::Answer;
pub use error::{ApiError, Failure};
pub use list::{ListPage, NotAList};
pub use options::{ApiKey, ApiOptions, BACKGROUND_REQUESTS_PER_SECOND, Limits, OnKeyRefused, Rate, STRIPE_BASE};

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
#[derive(Clone)]
pub struct Api {
    state: watch::Receiver<ApiState>,
}

impl Api {
    /// A client. Makes no request yet.
    ///
    /// # Errors
    /// [`ApiError::Configuration`] for a publishable key (`pk_`), an empty or unreadable one, and for a base that is neither `https` nor on this machine.
    pub fn new(_options: ApiOptions, _clock: Arc<dyn Clock>, _metrics: Arc<Metrics>) -> Result<Self, ApiError> {
        Err(not_built())
    }

    /// Reads, and tries again as long as that makes sense.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn get(&self, _request: &Get<'_>) -> Result<Answer, ApiError> {
        Err(not_built())
    }

    /// Writes a form. All attempts carry `idempotency_key` (at most 255 characters), so that the work is done once.
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn post(
        &self,
        _path: &str,
        _form: &[(String, String)],
        _idempotency_key: &str,
    ) -> Result<Answer, ApiError> {
        Err(not_built())
    }

    /// Deletes an object. When an attempt was lost on its way, a later one can find nothing to delete: [`ApiError::NotFound`].
    ///
    /// # Errors
    /// See [`ApiError`].
    pub async fn delete(&self, _path: &str) -> Result<Answer, ApiError> {
        Err(not_built())
    }

    /// Whether requests are being made, to look at and to wait for.
    pub fn state(&self) -> watch::Receiver<ApiState> {
        self.state.clone()
    }

    /// The mode by the key's prefix; `None` for keys without one.
    pub fn livemode(&self) -> Option<bool> {
        None
    }

    /// The `Stripe-Version` of every request.
    pub fn version(&self) -> &str {
        ""
    }

    /// Changes the share of [`Class::Background`], in requests per second.
    pub fn set_background_rate(&self, _requests_per_second: f64) {}
}

fn not_built() -> ApiError {
    ApiError::Configuration("not built yet".to_owned())
}

/// An id as a part of a path: percent-encoded where needed.
pub fn path_segment(id: &str) -> String {
    id.to_owned()
}
