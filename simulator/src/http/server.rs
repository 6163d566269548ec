//! The accept loop.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::sleep;

use super::respond::respond;
use super::stream::ResettableStream;
use crate::shared::Shared;

/// Rest after a failure to accept, in milliseconds.
const ACCEPT_PAUSE_MS: u64 = 20;

/// Serves until the runtime ends.
pub(crate) async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        match listener.accept().await {
            Ok((tcp, _)) => {
                let _ = tcp.set_nodelay(true);
                tokio::spawn(drive(tcp, Arc::clone(&shared)));
            }
            Err(error) => {
                tracing::debug!(%error, "the simulator cannot accept a connection");
                sleep(Duration::from_millis(ACCEPT_PAUSE_MS)).await;
            }
        }
    }
}

async fn drive(tcp: TcpStream, shared: Arc<Shared>) {
    let reset = Arc::new(AtomicBool::new(false));
    let stream = TokioIo::new(ResettableStream::new(tcp, Arc::clone(&reset)));
    let service = service_fn(move |request| respond(Arc::clone(&shared), Arc::clone(&reset), request));
    let mut builder = Builder::new(TokioExecutor::new());
    // A list's page fits; the default would cut it into many frames that wait for the client's window.
    builder.http2().max_send_buf_size(1024 * 1024).initial_connection_window_size(1024 * 1024);
    // How a connection ends is the client's business.
    let _ = builder.serve_connection(stream, service).await;
}
