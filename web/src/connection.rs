//! One connection from its first byte to its end.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Frame, Incoming, SizeHint};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tower_service::Service;

use crate::Limits;
use crate::activity::{Activity, RequestGuard, Sentence};
use crate::answer;
use crate::stream::ClientStream;

/// The least read buffer that hyper accepts.
const HEADER_BYTES_LEAST: usize = 8 * 1024;

/// What an HTTP/2 client may send ahead on one request, in bytes, before the server has read any of it.
const HTTP2_STREAM_WINDOW_BYTES: u32 = 64 * 1024;

/// The same for all requests of one connection together.
const HTTP2_CONNECTION_WINDOW_BYTES: u32 = 256 * 1024;

/// What HTTP/2 keeps of one answer until the client takes it, in bytes.
const HTTP2_SEND_BUFFER_BYTES: usize = 64 * 1024;

/// The protocol settings that follow from the limits.
pub(crate) fn protocol(limits: &Limits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        // This and every other deadline is kept by `drive`, which also covers what comes before hyper knows the protocol.
        .header_read_timeout(None)
        // A client that closes its side counts as gone even when it only half closed: under overload it matters more that
        // the places of clients that gave up are free again.
        .half_close(false)
        .max_buf_size(limits.header_bytes_max.max(HEADER_BYTES_LEAST))
        .max_headers(limits.headers_max);
    builder
        .http2()
        .max_concurrent_streams(limits.http2_streams_max)
        .max_pending_accept_reset_streams(limits.http2_pending_resets_max)
        .max_local_error_reset_streams(limits.http2_error_resets_max)
        .max_header_list_size(u32::try_from(limits.header_bytes_max).unwrap_or(u32::MAX))
        .initial_stream_window_size(HTTP2_STREAM_WINDOW_BYTES)
        .initial_connection_window_size(HTTP2_CONNECTION_WINDOW_BYTES)
        .max_send_buf_size(HTTP2_SEND_BUFFER_BYTES);
    builder
}

/// Serves one connection until it ends, fails, or has used up its patience. `stop` becomes true when the server stops.
pub(crate) async fn drive(
    stream: TcpStream,
    activity: Arc<Activity>,
    protocol: Arc<Builder<TokioExecutor>>,
    router: Router,
    limits: Limits,
    mut stop: watch::Receiver<bool>,
) {
    let stream = TokioIo::new(ClientStream::new(stream, Arc::clone(&activity)));
    let requests = Arc::clone(&activity);
    let service = service_fn(move |request| respond(router.clone(), requests.request(), request));
    let mut connection = pin!(protocol.serve_connection(stream, service));
    let mut finishing = None;
    loop {
        let ended = tokio::select! {
            biased;
            ended = until_end_or_deadline(connection.as_mut(), &activity, &limits, finishing) => ended,
            _ = stop.wait_for(|stop| *stop), if finishing.is_none() => End::Deadline(Sentence::Finish),
        };
        match ended {
            End::Connection | End::Deadline(Sentence::Cut) => return,
            End::Deadline(Sentence::Finish) => {
                finishing = Some(Instant::now());
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

enum End {
    Connection,
    Deadline(Sentence),
}

/// Runs the connection until it ends by itself or its deadline passes.
async fn until_end_or_deadline<C>(
    mut connection: Pin<&mut C>,
    activity: &Activity,
    limits: &Limits,
    finishing: Option<Instant>,
) -> End
where
    C: Future,
{
    let deadline = || activity.deadline(limits, finishing);
    let mut timer = pin!(sleep_until(deadline().0));
    poll_fn(|cx| {
        if connection.as_mut().poll(cx).is_ready() {
            return Poll::Ready(End::Connection);
        }
        // The connection's own progress moved the deadline. A later one needs no timer yet: the armed one fires early, finds
        // that it is not time and is set anew. So a busy connection hardly ever touches the timer.
        loop {
            let (at, sentence) = deadline();
            if at < timer.deadline() {
                timer.as_mut().reset(at);
            }
            if timer.as_mut().poll(cx).is_pending() {
                return Poll::Pending;
            }
            if at <= Instant::now() {
                return Poll::Ready(End::Deadline(sentence));
            }
            timer.as_mut().reset(at);
        }
    })
    .await
}

async fn respond(
    mut router: Router,
    guard: RequestGuard,
    request: http::Request<Incoming>,
) -> Result<http::Response<Answer>, Infallible> {
    let response = router.call(request).await?;
    Ok(answer::harden(response).map(|body| Answer { body, _guard: guard }))
}

/// The body of an answer, which keeps its request counted as long as it is being sent.
struct Answer {
    body: Body,
    _guard: RequestGuard,
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
