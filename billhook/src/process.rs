//! What the server asks of its own process.

use std::sync::atomic::{AtomicBool, Ordering};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Descriptors that the server uses besides connections: database, listeners, files, runtime.
pub const DESCRIPTORS_RESERVED: u64 = 128;

static PANICKING: AtomicBool = AtomicBool::new(false);

/// Keeps secrets out of core dumps and away from debuggers of the same user.
pub fn forbid_dumps() {
    #[cfg(target_os = "linux")]
    if let Err(error) = rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable) {
        tracing::warn!(%error, "core dumps could not be forbidden");
    }
}

/// The limit of open descriptors that holds; `None` when there is none.
pub fn descriptors_max() -> Option<u64> {
    getrlimit(Resource::Nofile).current
}

/// Raises the limit of open descriptors to what the configured connections need, as far as the system allows.
pub fn raise_descriptors(connections_max: usize) {
    let needed = DESCRIPTORS_RESERVED.saturating_add(u64::try_from(connections_max).unwrap_or(u64::MAX));
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_none_or(|current| current >= needed) {
        return;
    }
    let current = limit.maximum.map_or(needed, |maximum| needed.min(maximum));
    if let Err(error) = setrlimit(Resource::Nofile, Rlimit { current: Some(current), maximum: limit.maximum }) {
        tracing::warn!(%error, "the limit of open files could not be raised");
    } else if current < needed {
        tracing::warn!(
            needed,
            limit = current,
            "the limit of open files is low for http.connections_max; raise ulimit -n"
        );
    }
}

/// Makes a panic in any thread or task end the process with exit code 1, except where functions are executed: there it fails a run.
///
/// A task that has panicked no longer does its work, while the others would go on as if it did: deliveries would be
/// acknowledged and never applied. A supervisor starts the process again, and what was acknowledged is applied then.
pub fn end_on_panic() {
    std::panic::set_hook(Box::new(|panic| {
        if billhook_flow::engine::is_function_thread() {
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            let message = panic.payload_as_str().unwrap_or("no message");
            tracing::error!(place, message, "a function panicked; its run has failed and is tried again as it says");
            return;
        }
        // A panic while this one is reported must not report again.
        if !PANICKING.swap(true, Ordering::SeqCst) {
            let place = panic.location().map(ToString::to_string).unwrap_or_default();
            let message = panic.payload_as_str().unwrap_or("no message");
            tracing::error!(place, message, "the program has a defect and ends; nothing acknowledged is lost");
        }
        std::process::exit(1);
    }));
}
