//! `cargo xtask docs`: the API documentation, as CI builds it.

use anyhow::{Result, ensure};

use crate::shell;

/// Runs the command with the arguments behind its name.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    ensure!(arguments.is_empty(), "usage: cargo xtask docs");
    let mut doc = shell::command("cargo");
    doc.args(["doc", "--workspace", "--no-deps"]).env("RUSTDOCFLAGS", "-D warnings");
    shell::run(&mut doc)?;
    println!("the documentation is at {}", shell::target().join("doc/billhook_core/index.html").display());
    Ok(())
}
