//! What a client is made with.

use std::path::PathBuf;

use billhook_core::Secret;

/// Where Stripe's API answers.
pub const STRIPE_BASE: &str = "https://api.stripe.com";

/// Requests per second that [`crate::api::Class::Background`] may make unless told otherwise.
pub const BACKGROUND_REQUESTS_PER_SECOND: f64 = 1.0;

/// How to reach Stripe, and as whom.
#[derive(Debug, Clone)]
pub struct ApiOptions {
    /// Scheme, host and port, without a path: [`STRIPE_BASE`], or `http://127.0.0.1:4242` for a simulator on this machine.
    pub base: String,
    /// The secret or restricted key.
    pub key: ApiKey,
    /// `Stripe-Version` of every request, such as [`crate::catalogue::api_version`].
    pub version: String,
    /// The account (`acct_…`) or context for which a request asks that names none itself; `None` is the key's own account.
    pub account: Option<String>,
    /// The greatest rate of requests.
    pub requests_per_second: Rate,
    /// What a request does while Stripe refuses the key.
    pub on_key_refused: OnKeyRefused,
    /// How long is waited, and how often and how much is tried.
    pub limits: Limits,
}

impl ApiOptions {
    /// Options for the key's own account, in the version the catalogue describes, at half of the documented rate.
    pub fn new(base: impl Into<String>, key: ApiKey) -> Self {
        Self {
            base: base.into(),
            key,
            version: crate::catalogue::api_version().to_owned(),
            account: None,
            requests_per_second: Rate::Auto,
            on_key_refused: OnKeyRefused::Wait,
            limits: Limits::default(),
        }
    }
}

/// Where the key comes from.
#[derive(Debug, Clone)]
pub enum ApiKey {
    /// The key itself, for the life of the client.
    Fixed(Secret),
    /// A file that holds only the key. It is read again when its content changes and when Stripe refuses the key, so that a key
    /// is rolled without a restart.
    File(PathBuf),
}

/// The greatest rate of requests to Stripe. The client finds out by itself when Stripe allows less.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rate {
    /// Half of what Stripe documents for the key's mode: 50 a second in live mode and 12 in test mode, and 12 for one endpoint.
    /// The other half belongs to the user's own application: a mirror must never be why a payment is turned away.
    Auto,
    /// This many a second in total, at least 1. Any 1 s sees no more than that.
    Max(u32),
    /// As fast as the server answers, until it answers 429.
    Unlimited,
}

/// What a request does while Stripe refuses the key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnKeyRefused {
    /// It waits until the key works again, for as long as its caller waits: for servers.
    Wait,
    /// It fails with [`crate::api::ApiError::KeyRefused`]: for commands that somebody is watching.
    Fail,
}

/// How long is waited, and how often and how much is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For a connection with its TLS session, in milliseconds.
    pub connect_ms: u64,
    /// For one attempt from asking to the last byte of the answer, in milliseconds. Stripe's own libraries wait 80 s; a page of
    /// invoices with their lines can take many seconds.
    pub attempt_ms: u64,
    /// Without a byte of the answer, in milliseconds.
    pub silence_ms: u64,
    /// For all attempts of one request, in milliseconds. Waiting for the rate and for a new key does not count.
    pub total_ms: u64,
    /// Attempts of one request. Those that Stripe turned away for their rate do not count: the rate is then lowered.
    pub attempts: u32,
    /// The first pause between attempts, in milliseconds; each further one is twice as long.
    pub backoff_first_ms: u64,
    /// The longest pause between attempts, in milliseconds.
    pub backoff_longest_ms: u64,
    /// Bytes of an answer, unpacked. A page of 100 objects has about 300 kB; 100 invoices with everything expanded have a few MB.
    pub answer_bytes: usize,
    /// Between two looks at the key's file, in milliseconds.
    pub key_look_ms: u64,
    /// Between two attempts with a key that was refused, in milliseconds: it may be an address list that is being changed.
    pub key_probe_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect_ms: 10_000,
            attempt_ms: 80_000,
            silence_ms: 30_000,
            total_ms: 300_000,
            attempts: 6,
            backoff_first_ms: 500,
            backoff_longest_ms: 8_000,
            answer_bytes: 32 << 20,
            key_look_ms: 2_000,
            key_probe_ms: 60_000,
        }
    }
}
