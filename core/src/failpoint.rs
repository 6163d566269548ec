//! Named places where a crash test kills the process.
//!
//! `BILLHOOK_FAILPOINT=name:nth` makes the nth passage (counted from 1) through `hit(name)` abort the process as `kill -9`
//! would: no destructor runs, nothing is flushed. Without the variable a passage costs one atomic load.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The failpoints of every program, in the order in which a delivery passes them.
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

/// Failpoints of durable functions, in the order in which a run passes them. They are passed only where there are functions.
pub const FLOW_NAMES: &[&str] = &[
    "after_claim",
    "after_step_effect",
    "before_record_commit",
    "after_record_commit",
    "after_wait_registered",
    "before_tx_commit",
    "after_tx_commit",
    "before_end_commit",
    "after_end_commit",
    "before_scheduled_commit",
    "after_scheduled_commit",
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

/// Passes the failpoint `name`, which must stand in [`NAMES`] or [`FLOW_NAMES`].
pub fn hit(name: &'static str) {
    debug_assert!(NAMES.contains(&name) || FLOW_NAMES.contains(&name), "unknown failpoint {name}");
    if let Some(armed) = armed()
        && armed.name == name
        && armed.passages.fetch_add(1, Ordering::Relaxed) + 1 == armed.nth
    {
        std::process::abort();
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::ExitStatusExt as _;
    use std::process::{Command, Output};

    use super::*;

    /// Set in the child process, which passes failpoints instead of starting children.
    const CHILD: &str = "BILLHOOK_FAILPOINT_TEST_CHILD";

    const SIGABRT: i32 = 6;

    /// Runs this very test in a process of its own with the failpoint setting, which is read once in a process.
    fn child(setting: Option<&str>) -> Output {
        let mut command = Command::new(std::env::current_exe().expect("the path of this test"));
        command.args(["--exact", "failpoint::tests::the_nth_passage_kills", "--nocapture"]).env(CHILD, "1");
        match setting {
            Some(setting) => command.env("BILLHOOK_FAILPOINT", setting),
            None => command.env_remove("BILLHOOK_FAILPOINT"),
        };
        command.output().expect("a child process")
    }

    #[test]
    fn the_nth_passage_kills() {
        if std::env::var_os(CHILD).is_some() {
            for passage in 1..=3 {
                hit("after_receive");
                hit("after_verify");
                println!("passed {passage}");
            }
            return;
        }
        let cases = [
            (Some("after_verify:1"), 0),
            (Some("after_verify"), 0),
            (Some("after_receive:2"), 1),
            (Some("after_verify:3"), 2),
        ];
        for (setting, passages) in cases {
            let output = child(setting);
            assert_eq!(output.status.signal(), Some(SIGABRT), "{setting:?}");
            assert_eq!(String::from_utf8_lossy(&output.stdout).matches("passed ").count(), passages, "{setting:?}");
        }
        for setting in [None, Some("after_verify:4"), Some("mid_migration:1"), Some("")] {
            let output = child(setting);
            assert!(output.status.success(), "{setting:?}");
            assert_eq!(String::from_utf8_lossy(&output.stdout).matches("passed ").count(), 3, "{setting:?}");
        }
    }

    #[test]
    fn names_are_distinct() {
        let distinct: std::collections::BTreeSet<_> = NAMES.iter().chain(FLOW_NAMES).collect();
        assert_eq!(distinct.len(), NAMES.len() + FLOW_NAMES.len());
    }
}
