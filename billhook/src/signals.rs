//! SIGTERM and SIGINT.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use crate::failure::FAILED;

/// Listens for the signals that end the server. The returned value becomes true at the first one; a second one ends the process
/// at once.
///
/// # Errors
/// When the system does not let the process listen for signals.
pub fn listen() -> io::Result<watch::Receiver<bool>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(async move {
        let name = either(&mut terminate, &mut interrupt).await;
        tracing::info!(signal = name, "stopping: finishing what is in progress");
        // Without a receiver the server has ended by itself.
        let _ = stop.send(true);
        let name = either(&mut terminate, &mut interrupt).await;
        tracing::warn!(signal = name, "second signal: ending at once; nothing acknowledged is lost");
        std::process::exit(i32::from(FAILED));
    });
    Ok(stopped)
}

async fn either(terminate: &mut Signal, interrupt: &mut Signal) -> &'static str {
    tokio::select! {
        _ = terminate.recv() => "SIGTERM",
        _ = interrupt.recv() => "SIGINT",
    }
}

/// Completes when the server has to stop.
pub async fn stopped(mut stopped: watch::Receiver<bool>) {
    // The sender is dropped only by a process that ends anyway.
    let _ = stopped.wait_for(|stop| *stop).await;
}
