//! Tests of what the crate promises about hostile and recorded input, and about its client of Stripe's API.
#![expect(clippy::unwrap_used, reason = "a helper of a test fails its test")]

mod api_errors;
mod api_key;
mod api_requests;
mod api_retries;
mod api_server;
mod api_webhook_endpoints;
mod envelope;
mod mutation;
mod properties;
mod recorded;
mod sanitise;
mod signature;
