//! Bodies of answers, the broken ones included.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::{Sleep, sleep};

/// Parts per second of a dripping body.
const DRIPS_PER_SECOND: u32 = 4;

/// The body of an answer.
pub(crate) struct AnswerBody {
    parts: VecDeque<Bytes>,
    /// Bytes that are still to come, those that a cut body will never send included.
    left: u64,
    /// The body ends with an error after its parts.
    is_cut: bool,
    /// What a drip waits for.
    pause: Option<Pin<Box<Sleep>>>,
    is_dripping: bool,
}

impl AnswerBody {
    /// The bytes at once.
    pub(super) fn whole(bytes: Bytes) -> Self {
        Self::parts(VecDeque::from([bytes]))
    }

    /// Several parts one after the other.
    pub(super) fn parts(parts: VecDeque<Bytes>) -> Self {
        let left = parts.iter().map(|part| part.len() as u64).sum();
        Self { parts, left, is_cut: false, pause: None, is_dripping: false }
    }

    /// Announces all bytes, sends half of them and fails.
    pub(super) fn cut(bytes: &Bytes) -> Self {
        let half = bytes.slice(..bytes.len() / 2);
        Self { left: bytes.len() as u64, is_cut: true, ..Self::whole(half) }
    }

    /// Sends so many bytes a second.
    pub(super) fn drip(mut bytes: Bytes, bytes_per_second: u32) -> Self {
        let size = usize::try_from(bytes_per_second.div_ceil(DRIPS_PER_SECOND).max(1)).unwrap_or(1);
        let mut parts = VecDeque::new();
        while !bytes.is_empty() {
            parts.push_back(bytes.split_to(size.min(bytes.len())));
        }
        Self { is_dripping: true, ..Self::parts(parts) }
    }
}

impl Body for AnswerBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        match self.parts.pop_front() {
            Some(part) => {
                self.left = self.left.saturating_sub(part.len() as u64);
                if self.is_dripping {
                    self.pause = Some(Box::pin(sleep(Duration::from_secs(1) / DRIPS_PER_SECOND)));
                }
                Poll::Ready(Some(Ok(Frame::data(part))))
            }
            None if self.is_cut => {
                self.is_cut = false;
                Poll::Ready(Some(Err(io::ErrorKind::ConnectionAborted.into())))
            }
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.parts.is_empty() && !self.is_cut
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
