//! Tests that cannot run here say so where a person sees it.

use std::fs::OpenOptions;
use std::io::Write as _;

/// Names the file into which skipped tests are written, one line each; `cargo xtask test` sets and prints it.
pub const SKIP_LOG_VARIABLE: &str = "BILLHOOK_SKIP_LOG";

/// Whether this is a run in which nothing may be skipped (`CI` is set and not `false`).
pub fn forbidden() -> bool {
    std::env::var_os("CI").is_some_and(|value| !value.is_empty() && value != "false" && value != "0")
}

/// Notes that a test was skipped and why.
///
/// # Panics
/// In CI, where nothing may be skipped.
pub fn note(test: &str, reason: &str) {
    assert!(!forbidden(), "{test} cannot run ({reason}), and in CI nothing may be skipped");
    eprintln!("skipped {test}: {reason}");
    if let Some(path) = std::env::var_os(SKIP_LOG_VARIABLE)
        && let Ok(mut file) = OpenOptions::new().create(true).append(true).open(path)
    {
        let _ = writeln!(file, "{test}: {reason}");
    }
}
