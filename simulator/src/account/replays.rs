//! Answers of writes, kept under their idempotency keys.

use std::collections::HashMap;

use bytes::Bytes;

use super::Account;
use crate::error::ApiError;

/// How long an answer is kept, in seconds of the account's clock.
const KEPT_SECONDS: i64 = 86_400;

#[derive(Debug)]
struct Replay {
    fingerprint: Box<[u8]>,
    status: u16,
    body: Bytes,
    request_id: String,
    at: i64,
}

/// The answers by key.
#[derive(Debug, Default)]
pub(super) struct Replays(HashMap<String, Replay>);

impl Account {
    /// The answer that a key has already; an error when the key was used for something else. `None` for a new key.
    pub(crate) fn replay(&self, key: &str, fingerprint: &[u8]) -> Option<Result<(u16, Bytes, String), ApiError>> {
        let replay = self.replays.0.get(key).filter(|replay| replay.at + KEPT_SECONDS > self.now())?;
        if *replay.fingerprint == *fingerprint {
            return Some(Ok((replay.status, replay.body.clone(), replay.request_id.clone())));
        }
        let message = format!(
            "Keys for idempotent requests can only be used with the same parameters they were first used with. \
             Use another key than '{key}' for another request."
        );
        Some(Err(ApiError { kind: "idempotency_error", ..ApiError::invalid(message) }))
    }

    pub(crate) fn remember(&mut self, key: &str, fingerprint: &[u8], status: u16, body: &Bytes, request_id: &str) {
        let now = self.now();
        self.replays.0.retain(|_, replay| replay.at + KEPT_SECONDS > now);
        let replay = Replay {
            fingerprint: fingerprint.into(),
            status,
            body: body.clone(),
            request_id: request_id.to_owned(),
            at: now,
        };
        self.replays.0.insert(key.to_owned(), replay);
    }
}
