//! The Python tests: the official Stripe library, and a fake Stripe that this project did not write, against the real program.

use std::path::PathBuf;
use std::process::Stdio;

use anyhow::{Context, Result, bail};
use billhook_testkit::database::URL_VARIABLE;
use billhook_testkit::server::BINARY_VARIABLE;
use billhook_testkit::skip;

use super::count::Count;
use super::server::TestServer;
use crate::shell;

/// Installs the packages when they have changed, and runs the test files whose name contains the filter.
pub(super) fn run(filter: Option<&str>, server: &TestServer, binary: &std::path::Path) -> Result<Count> {
    let mut count = Count::default();
    let modules = test_modules(filter)?;
    if modules.is_empty() {
        return Ok(count);
    }
    if let Some(reason) = missing() {
        if skip::forbidden() {
            bail!("the Python tests cannot run ({reason}), and in CI nothing may be skipped");
        }
        count.skipped.push(format!("the Python tests: {reason}"));
        return Ok(count);
    }
    let python = prepare()?;
    let mut tests = shell::command(&python.to_string_lossy());
    tests.current_dir(sources()).args(["-B", "-m", "unittest", "-v"]).args(&modules);
    tests.env(BINARY_VARIABLE, binary).stdin(Stdio::null()).stderr(Stdio::piped());
    if let Some(url) = server.url() {
        tests.env(URL_VARIABLE, url);
    }
    let output = tests.output().context("cannot run python3")?;
    let report = String::from_utf8_lossy(&output.stderr);
    eprint!("{report}");
    for line in report.lines() {
        count.read_unittest_line(line);
    }
    count.broken = !output.status.success();
    Ok(count)
}

fn sources() -> PathBuf {
    shell::root().join("tests-python")
}

fn test_modules(filter: Option<&str>) -> Result<Vec<String>> {
    let mut modules = Vec::new();
    for entry in std::fs::read_dir(sources()).context("cannot read tests-python")? {
        let name = entry?.file_name().to_string_lossy().into_owned();
        if let Some(module) = name.strip_suffix(".py")
            && module.starts_with("test_")
            && filter.is_none_or(|filter| module.contains(filter))
        {
            modules.push(module.to_owned());
        }
    }
    modules.sort();
    Ok(modules)
}

/// What is missing to run them.
fn missing() -> Option<String> {
    let works = |code: &str| {
        let status = shell::command("python3").args(["-c", code]).stderr(Stdio::null()).status();
        status.is_ok_and(|status| status.success())
    };
    if !works("import sys; sys.exit(sys.version_info < (3, 10))") {
        return Some("python3 is not installed, or older than 3.10".to_owned());
    }
    (!works("import venv, ensurepip")).then(|| "python3 cannot make environments (package python3-venv)".to_owned())
}

/// Makes an environment under `target` with exactly the packages that `requirements.txt` names. An unchanged list keeps the
/// installed ones.
fn prepare() -> Result<PathBuf> {
    let environment = shell::target().join("tests-python");
    let python = environment.join("bin/python");
    let wanted = std::fs::read_to_string(sources().join("requirements.txt")).context("no requirements.txt")?;
    let installed = environment.join("installed-requirements.txt");
    if std::fs::read_to_string(&installed).ok().as_deref() == Some(wanted.as_str()) {
        return Ok(python);
    }
    eprintln!("Python: installing the packages of tests-python");
    let _ = std::fs::remove_dir_all(&environment);
    shell::run(shell::command("python3").args(["-m", "venv"]).arg(&environment))?;
    let mut install = shell::command(&python.to_string_lossy());
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps", "--requirement"]);
    install.arg(sources().join("requirements.txt")).stdin(Stdio::null()).stdout(std::io::stderr());
    shell::run(&mut install)?;
    std::fs::write(installed, wanted)?;
    Ok(python)
}
