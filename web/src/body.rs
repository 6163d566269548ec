//! Reading a body without trusting it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::body::Body;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::Body as _;
use tokio::time::timeout;

use crate::Limits;

/// The most that is set aside for a body before its bytes have come. What a client declares costs it nothing.
const CAPACITY_FIRST_BYTES: u64 = 64 * 1024;

/// Why a body could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BodyError {
    /// It has, or says it has, more bytes than allowed.
    TooLarge,
    /// It did not arrive in time.
    Late,
    /// The client broke it off, or its framing is wrong.
    Broken,
    /// The bodies in progress take up all the memory there is for them.
    NoRoom,
}

/// A whole body and the room it takes up.
pub(crate) struct WholeBody<'a> {
    pub(crate) bytes: Bytes,
    /// Released when the request is over, since until then the bytes are in memory.
    pub(crate) room: Room<'a>,
}

/// Reads a body to its end. What is declared too large is refused before a byte of it is read, so that a client that asks
/// first (`Expect: 100-continue`) need not send it.
pub(crate) async fn read<'a>(body: Body, limits: &Limits, budget: &'a BodyBudget) -> Result<WholeBody<'a>, BodyError> {
    let declared_bytes = body.size_hint().lower();
    if declared_bytes > limits.body_bytes_max as u64 {
        return Err(BodyError::TooLarge);
    }
    let whole = collect(body, declared_bytes, limits.body_bytes_max, budget.room());
    match timeout(Duration::from_millis(limits.body_deadline_ms), whole).await {
        Ok(result) => result,
        Err(_) => Err(BodyError::Late),
    }
}

async fn collect(
    mut body: Body,
    declared_bytes: u64,
    bytes_max: usize,
    mut room: Room<'_>,
) -> Result<WholeBody<'_>, BodyError> {
    // Most bodies come in one piece, which is then passed on as it is.
    let mut first = Bytes::new();
    let mut joined = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(piece) = frame.map_err(|_| BodyError::Broken)?.into_data() else { continue };
        room.grow(piece.len())?;
        if room.bytes > bytes_max {
            return Err(BodyError::TooLarge);
        }
        if first.is_empty() && joined.is_empty() {
            first = piece;
            continue;
        }
        if joined.is_empty() {
            joined.reserve(usize::try_from(declared_bytes.min(CAPACITY_FIRST_BYTES)).unwrap_or_default());
            joined.extend_from_slice(&std::mem::take(&mut first));
        }
        joined.extend_from_slice(&piece);
    }
    let bytes = if joined.is_empty() { first } else { joined.freeze() };
    Ok(WholeBody { bytes, room })
}

/// Bounds the bytes of all bodies in progress.
pub(crate) struct BodyBudget {
    used_bytes: AtomicUsize,
    bytes_max: usize,
}

impl BodyBudget {
    pub(crate) fn new(bytes_max: usize) -> Self {
        Self { used_bytes: AtomicUsize::new(0), bytes_max }
    }

    fn room(&self) -> Room<'_> {
        Room { budget: self, bytes: 0 }
    }
}

/// A part of the budget, given back when dropped.
pub(crate) struct Room<'a> {
    budget: &'a BodyBudget,
    bytes: usize,
}

impl Room<'_> {
    fn grow(&mut self, bytes: usize) -> Result<(), BodyError> {
        self.bytes += bytes;
        let used_before = self.budget.used_bytes.fetch_add(bytes, Ordering::Relaxed);
        if used_before.saturating_add(bytes) > self.budget.bytes_max { Err(BodyError::NoRoom) } else { Ok(()) }
    }
}

impl Drop for Room<'_> {
    fn drop(&mut self) {
        self.budget.used_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits(body_bytes_max: usize) -> Limits {
        Limits { body_bytes_max, ..Limits::default() }
    }

    #[tokio::test]
    async fn a_body_of_exactly_the_limit_is_read() {
        let budget = BodyBudget::new(1_000);
        let whole = read(Body::from(vec![7; 100]), &limits(100), &budget).await.map(|whole| whole.bytes);
        assert_eq!(whole.ok(), Some(Bytes::from(vec![7; 100])));
        let refused = read(Body::from(vec![7; 101]), &limits(100), &budget).await.map(|whole| whole.bytes);
        assert_eq!(refused.err(), Some(BodyError::TooLarge));
    }

    #[tokio::test]
    async fn room_is_given_back_and_refused_when_there_is_none() {
        let budget = BodyBudget::new(150);
        let first = read(Body::from(vec![1; 100]), &limits(100), &budget).await.ok();
        assert!(first.is_some());
        let second = read(Body::from(vec![2; 100]), &limits(100), &budget).await;
        assert_eq!(second.err(), Some(BodyError::NoRoom));
        drop(first);
        assert!(read(Body::from(vec![3; 100]), &limits(100), &budget).await.is_ok());
        assert_eq!(budget.used_bytes.load(Ordering::Relaxed), 0);
    }

    impl std::fmt::Debug for WholeBody<'_> {
        fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            write!(formatter, "{} bytes", self.bytes.len())
        }
    }
}
