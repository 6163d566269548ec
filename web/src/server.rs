//! The accept loop.

use std::future::Future;
use std::io;
use std::ops::ControlFlow;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use billhook_core::metrics::Metrics;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::Limits;
use crate::activity::Activity;
use crate::connection::{drive, protocol};
use crate::connections::Connections;
use crate::routes::{METRICS_ROUTES, ROUTES, router};
use crate::state::{Database, Deliveries, Shared, State};
use crate::sync::Reads;

/// How long the loop rests when it has no room or the system gives it no more sockets, in milliseconds. Trying again at once
/// would burn a processor, because the client that wants to connect is still there.
const ACCEPT_PAUSE_MS: u64 = 50;

/// How many waiting connections are closed each time the system gives no more sockets.
const CLOSED_PER_PAUSE: usize = 16;

/// Serves [`ROUTES`] on `listener`, over HTTP/1.1 and HTTP/2 with prior knowledge, until `shutdown` completes. Then it takes
/// no more connections, lets the open ones finish their requests, and returns when all have ended or
/// [`Limits::shutdown_deadline_ms`] is over.
///
/// # Errors
/// When the listener's own address cannot be read, which means that it is no listener.
pub async fn serve<D: Deliveries, S: Database, R: Reads>(
    listener: TcpListener,
    state: State<D, S, R>,
    limits: Limits,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    serve_routes(listener, &ROUTES, state, limits, shutdown).await
}

/// Serves [`METRICS_ROUTES`] on a listener of their own, without a key: whoever reaches the address may read. Otherwise like
/// [`serve`].
///
/// # Errors
/// As for [`serve`].
pub async fn serve_metrics<D: Deliveries, S: Database, R: Reads>(
    listener: TcpListener,
    state: State<D, S, R>,
    limits: Limits,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    serve_routes(listener, &METRICS_ROUTES, state, limits, shutdown).await
}

async fn serve_routes<D: Deliveries, S: Database, R: Reads>(
    listener: TcpListener,
    routes: &'static [crate::Route],
    state: State<D, S, R>,
    limits: Limits,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let address = listener.local_addr()?;
    let metrics = Arc::clone(&state.metrics);
    let router = router(routes, Shared::new(state, limits));
    let (stop, stopped) = watch::channel(false);
    let mut connections = accept_until(shutdown, listener, router, limits, metrics, stopped).await;
    tracing::debug!(%address, "no longer accepting connections");
    // Nobody listens when no connection is open.
    let _ = stop.send(true);
    let all_ended = async { while connections.one_ended().await {} };
    if timeout(Duration::from_millis(limits.shutdown_deadline_ms), all_ended).await.is_err() {
        tracing::warn!(%address, "connections that did not finish in time were cut");
    }
    Ok(())
}

/// Accepts until `shutdown` completes, closes the listener and returns what is still open.
async fn accept_until(
    shutdown: impl Future<Output = ()>,
    listener: TcpListener,
    router: Router,
    limits: Limits,
    metrics: Arc<Metrics>,
    stopped: watch::Receiver<bool>,
) -> Connections {
    let protocol = Arc::new(protocol(&limits));
    let mut connections = Connections::new(&limits, metrics);
    let mut shutdown = pin!(shutdown);
    let mut exhausted = false;
    loop {
        let accepted = tokio::select! {
            biased;
            () = &mut shutdown => return connections,
            // Ended connections leave the books before their places are given away.
            true = connections.one_ended() => continue,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) if connections.admits(peer.ip()) => {
                exhausted = false;
                while !connections.has_room() {
                    if rest(shutdown.as_mut(), &mut connections).await.is_break() {
                        return connections;
                    }
                }
                // Answers are small and complete; waiting to fill a packet would only delay them. A failure means that the
                // client is gone already, which its connection finds out by itself.
                let _ = stream.set_nodelay(true);
                let (activity, protocol) = (Activity::new(), Arc::clone(&protocol));
                let served = drive(stream, Arc::clone(&activity), protocol, router.clone(), limits, stopped.clone());
                connections.add(peer.ip(), activity, served);
            }
            Ok(_) => tracing::debug!("closed a connection of an address that has its share"),
            Err(error) if concerns_one_connection(&error) => {}
            Err(error) => {
                if !exhausted {
                    tracing::warn!(
                        %error,
                        "cannot accept connections; closing waiting ones and trying again. Raise the limit of open files \
                         (ulimit -n), or lower the limit of connections"
                    );
                }
                exhausted = true;
                connections.close_longest_waiting(CLOSED_PER_PAUSE);
                if rest(shutdown.as_mut(), &mut connections).await.is_break() {
                    return connections;
                }
            }
        }
    }
}

/// Waits for a place to become free, or for [`ACCEPT_PAUSE_MS`]. Breaks when the server shall stop.
async fn rest(shutdown: Pin<&mut impl Future<Output = ()>>, connections: &mut Connections) -> ControlFlow<()> {
    let pause = Duration::from_millis(ACCEPT_PAUSE_MS);
    tokio::select! {
        biased;
        () = shutdown => ControlFlow::Break(()),
        true = connections.one_ended() => ControlFlow::Continue(()),
        () = sleep(pause) => ControlFlow::Continue(()),
    }
}

/// Whether only the connection that was being accepted failed, because its client gave up.
fn concerns_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}
