//! Why a request has no answer.

use std::fmt;

/// What is known about a request that failed. Texts are bounded, and what looks like a key or an address is masked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Failure {
    /// `GET`, `POST` or `DELETE`.
    pub method: &'static str,
    /// The path without its query.
    pub path: String,
    /// The HTTP status, when there was an answer.
    pub status: Option<u16>,
    /// Stripe's `Request-Id`, by which its support and its dashboard find the request.
    pub request_id: Option<String>,
    /// Stripe's error code, such as `resource_missing`.
    pub code: Option<String>,
    /// The parameter that Stripe complains about.
    pub param: Option<String>,
    /// A time by Stripe's clock that is not later than what the answer tells, as [`super::Answer::read_at`]; when there was one.
    pub read_at: Option<i64>,
    /// What Stripe says, or what went wrong on the way.
    pub message: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} {}: {}", self.method, self.path, self.message)?;
        let mut details = Vec::new();
        details.extend(self.status.map(|status| format!("status {status}")));
        details.extend(self.code.as_ref().map(|code| format!("code {code}")));
        details.extend(self.param.as_ref().map(|param| format!("parameter {param}")));
        details.extend(self.request_id.as_ref().map(|id| format!("request {id}")));
        if details.is_empty() { Ok(()) } else { write!(formatter, " ({})", details.join(", ")) }
    }
}

/// Why a request has no answer, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ApiError {
    /// Stripe refuses the key for everything.
    #[error("Stripe refuses the API key. {0}. Put a working key in its place; the dashboard lists the account's keys")]
    KeyRefused(Box<Failure>),
    /// The key may not do this one thing.
    #[error(
        "the API key may not do this. {0}. Give the restricted key the permission that is named, or leave this out"
    )]
    NoPermission(Box<Failure>),
    /// Stripe has no such object.
    #[error("Stripe has no such object. {0}. It was deleted, never existed, or belongs to another account")]
    NotFound(Box<Failure>),
    /// The account does not use this product of Stripe.
    #[error("not available on this account. {0}. Nothing is to be done unless the account ought to have it")]
    NotAvailable(Box<Failure>),
    /// Stripe understood the request and declines it.
    #[error("Stripe declines the request. {0}. The same request will be declined again")]
    Refused(Box<Failure>),
    /// No usable answer after all attempts.
    #[error("Stripe could not be asked. {0}. It is worth trying again later; status.stripe.com tells of disturbances")]
    Unavailable(Box<Failure>),
    /// The answer is larger than is read.
    #[error("Stripe's answer is too large. {0}. Ask for fewer objects at once or expand less")]
    TooLarge(Box<Failure>),
    /// The client was set up or called wrongly.
    #[error("{0}")]
    Configuration(String),
}

impl ApiError {
    /// What is known about the request; `None` when none was made.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::KeyRefused(failure)
            | Self::NoPermission(failure)
            | Self::NotFound(failure)
            | Self::NotAvailable(failure)
            | Self::Refused(failure)
            | Self::Unavailable(failure)
            | Self::TooLarge(failure) => Some(failure),
            Self::Configuration(_) => None,
        }
    }

    /// Stripe's `Request-Id`, where there was one.
    pub fn request_id(&self) -> Option<&str> {
        self.failure()?.request_id.as_deref()
    }
}
