//! The Node tests: the official Stripe library and Prisma against the real program.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use billhook_testkit::database::URL_VARIABLE;
use billhook_testkit::server::BINARY_VARIABLE;
use billhook_testkit::skip;

use super::count::Count;
use super::server::TestServer;
use crate::shell;

/// Oldest Node that the packages accept, as major and minor version.
const NODE_OLDEST: (u32, u32) = (20, 19);

/// Installs the packages when they have changed, and runs the test files whose name contains the filter.
pub(super) fn run(filter: Option<&str>, server: &TestServer, binary: &Path) -> Result<Count> {
    let files = test_files(filter)?;
    let mut count = Count::default();
    if files.is_empty() {
        return Ok(count);
    }
    if let Some(reason) = missing() {
        if skip::forbidden() {
            bail!("the Node tests cannot run ({reason}), and in CI nothing may be skipped");
        }
        count.skipped.push(format!("the Node tests: {reason}"));
        return Ok(count);
    }
    let directory = prepare()?;
    let summary = tempfile::NamedTempFile::new()?;
    let mut tests = shell::command("node");
    tests.current_dir(&directory).stdin(Stdio::null()).arg("--test");
    tests.args(["--test-reporter=spec", "--test-reporter-destination=stdout", "--test-reporter=tap"]);
    tests.arg(format!("--test-reporter-destination={}", summary.path().display()));
    tests.args(&files).env(BINARY_VARIABLE, binary);
    if let Some(url) = server.url() {
        tests.env(URL_VARIABLE, url);
    }
    count.broken = !tests.status().context("cannot run node")?.success();
    for line in std::fs::read_to_string(summary.path())?.lines() {
        count.read_tap_line(line);
    }
    Ok(count)
}

fn sources() -> PathBuf {
    shell::root().join("tests-node")
}

fn test_files(filter: Option<&str>) -> Result<Vec<String>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(sources()).context("cannot read tests-node")? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if name.ends_with(".test.mjs") && filter.is_none_or(|filter| name.contains(filter)) {
            files.push(name);
        }
    }
    files.sort();
    Ok(files)
}

/// What is missing to run them.
fn missing() -> Option<String> {
    let output = shell::command("node").arg("--version").output();
    let Ok(output) = output else { return Some("node is not installed".to_owned()) };
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    if version_of(&version).is_none_or(|found| found < NODE_OLDEST) {
        return Some(format!("node is {version}, and {}.{} is the oldest that works", NODE_OLDEST.0, NODE_OLDEST.1));
    }
    (!shell::exists("npm")).then(|| "npm is not installed".to_owned())
}

/// Major and minor version in `v20.19.4`.
fn version_of(text: &str) -> Option<(u32, u32)> {
    let mut parts = text.strip_prefix('v')?.split('.').map(str::parse);
    Some((parts.next()?.ok()?, parts.next()?.ok()?))
}

/// Copies the tests beside their packages under `target`, so that the source tree stays clean, and installs the packages
/// exactly as the lock file says. An unchanged lock file keeps the installed ones.
fn prepare() -> Result<PathBuf> {
    let directory = shell::target().join("tests-node");
    std::fs::create_dir_all(&directory)?;
    for entry in std::fs::read_dir(sources())? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            std::fs::copy(entry.path(), directory.join(entry.file_name()))?;
        }
    }
    let lock = std::fs::read_to_string(directory.join("package-lock.json")).context("tests-node has no lock file")?;
    let installed = directory.join("installed-lock.json");
    if std::fs::read_to_string(&installed).ok().as_deref() == Some(lock.as_str()) {
        return Ok(directory);
    }
    eprintln!("Node: installing the packages of tests-node");
    let _ = std::fs::remove_file(&installed);
    let mut install = shell::command("npm");
    install.current_dir(&directory).stdin(Stdio::null()).stdout(std::io::stderr());
    install.args(["ci", "--no-audit", "--no-fund", "--loglevel=error"]);
    // Prisma's engines would be downloaded from outside the registry, and nothing here uses them.
    install.env("PRISMA_SCHEMA_ENGINE_BINARY", "/bin/true").env("CHECKPOINT_DISABLE", "1");
    install.env("PRISMA_SKIP_POSTINSTALL_GENERATE", "1");
    // The system's Node brings the headers that a native package is compiled with; otherwise they would be downloaded too.
    if Path::new("/usr/include/node/node.h").is_file() && !Path::new("/usr/local/bin/node").exists() {
        install.env("npm_config_nodedir", "/usr");
    }
    shell::run(&mut install)?;
    std::fs::write(installed, lock)?;
    Ok(directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(version_of("v20.9.1"), Some((20, 9)));
        assert!(version_of("v20.9.1").unwrap() < NODE_OLDEST);
        assert!(version_of("v22.0.0").unwrap() > NODE_OLDEST);
        assert_eq!(version_of("20"), None);
    }
}
