//! Cleans up after a test process that dies without running destructors.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::Context;

/// A small shell that waits until this process is gone and then runs a script.
///
/// It reads from a pipe whose other end only this process holds; the kernel closes that end however the process dies.
#[derive(Debug)]
pub(crate) struct Watchdog(Child);

impl Watchdog {
    /// Runs `script` with `argument` as `$1` once this process is gone. `command` says as whom.
    pub(crate) fn start(mut command: Command, script: &str, argument: &Path) -> anyhow::Result<Self> {
        use std::os::unix::process::CommandExt as _;
        let script = format!("read -r line; {script}");
        // A process group of its own: an interrupt typed at the terminal must not end the watchdog before its work.
        let child = command
            .args(["-c", &script, "watchdog"])
            .arg(argument)
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .context("the watchdog shell (sh) cannot be started")?;
        Ok(Self(child))
    }
}

impl Drop for Watchdog {
    /// Dismisses the watchdog: its owner has cleaned up.
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
