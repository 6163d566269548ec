//! `cargo xtask test [filter]`: everything there is to test, on both stores.

mod count;
mod node;
mod python;
mod rust;
pub(crate) mod server;

use anyhow::{Result, bail, ensure};
use billhook_testkit::skip;

use crate::shell;
use count::Count;
use server::TestServer;

/// Runs the command with the arguments behind its name.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    ensure!(arguments.len() <= 1, "usage: cargo xtask test [filter]");
    let filter = arguments.first().map(String::as_str);
    let server = TestServer::start()?;
    let binary = shell::build_tests()?;
    let mut total = Count::default();
    total.add(rust::run(filter, &server, &binary)?);
    total.add(node::run(filter, &server, &binary)?);
    total.add(python::run(filter, &server, &binary)?);
    // The server ends before the summary, so that the summary is the last thing one reads.
    drop(server);
    report(&total)
}

fn report(total: &Count) -> Result<()> {
    if !total.skipped.is_empty() {
        println!("\nskipped:");
        for line in &total.skipped {
            println!("  {line}");
        }
    }
    println!("\n{} passed, {} failed", total.passed, total.failed);
    if total.failed > 0 || total.broken {
        bail!("there are failures");
    }
    if total.passed == 0 {
        bail!("nothing was tested");
    }
    if skip::forbidden() && !total.skipped.is_empty() {
        bail!("in CI nothing may be skipped");
    }
    Ok(())
}
