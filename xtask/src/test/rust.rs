//! The workspace's Rust tests.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result};
use billhook_testkit::database::URL_VARIABLE;
use billhook_testkit::server::BINARY_VARIABLE;
use billhook_testkit::skip::SKIP_LOG_VARIABLE;

use super::count::Count;
use super::server::TestServer;
use crate::shell;

/// Runs `cargo test --workspace` and adds up what it prints.
pub(super) fn run(filter: Option<&str>, server: &TestServer, binary: &Path) -> Result<Count> {
    let skipped = tempfile::NamedTempFile::new()?;
    let mut tests = shell::command("cargo");
    tests.args(["test", "--workspace", "--no-fail-fast"]).args(filter);
    tests.env(BINARY_VARIABLE, binary).env(SKIP_LOG_VARIABLE, skipped.path());
    if let Some(url) = server.url() {
        tests.env(URL_VARIABLE, url);
    }
    let mut child = tests.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().context("cannot run cargo test")?;
    let mut count = Count::default();
    if let Some(output) = child.stdout.take() {
        let mut stdout = std::io::stdout().lock();
        for line in BufReader::new(output).split(b'\n') {
            let line = line?;
            count.read_cargo_line(&String::from_utf8_lossy(&line));
            stdout.write_all(&line)?;
            stdout.write_all(b"\n")?;
        }
    }
    count.broken = !child.wait()?.success();
    count.skipped.extend(std::fs::read_to_string(skipped.path())?.lines().map(str::to_owned));
    Ok(count)
}
