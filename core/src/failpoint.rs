//! Named places where a crash test kills the process.
//!
//! `BILLHOOK_FAILPOINT=name:nth` makes the nth passage (counted from 1) through `hit(name)` abort the process as `kill -9`
//! would: no destructor runs, nothing is flushed. Without the variable a passage costs one atomic load.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// Every failpoint there is, in the order in which a delivery passes them.
pub const NAMES: &[&str] = &[
    "after_receive",
    "after_verify",
    "before_inbox_commit",
    "after_inbox_commit",
    "after_acknowledge",
    "before_apply_commit",
    "after_apply_commit",
    "mid_migration",
];

struct Armed {
    name: String,
    nth: u64,
    passages: AtomicU64,
}

static ARMED: OnceLock<Option<Armed>> = OnceLock::new();

fn armed() -> Option<&'static Armed> {
    ARMED
        .get_or_init(|| {
            let setting = std::env::var("BILLHOOK_FAILPOINT").ok()?;
            let (name, nth) = setting.split_once(':').unwrap_or((&setting, "1"));
            Some(Armed { name: name.to_owned(), nth: nth.parse().unwrap_or(1), passages: AtomicU64::new(0) })
        })
        .as_ref()
}

/// Passes the failpoint `name`, which must stand in [`NAMES`].
pub fn hit(name: &'static str) {
    debug_assert!(NAMES.contains(&name), "unknown failpoint {name}");
    if let Some(armed) = armed()
        && armed.name == name
        && armed.passages.fetch_add(1, Ordering::Relaxed) + 1 == armed.nth
    {
        std::process::abort();
    }
}
