//! The project's own commands: `cargo xtask <command>`.

mod catalogue;

use anyhow::{Result, bail};

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.split_first() {
        Some((command, rest)) if command == "catalogue" => catalogue::run(rest),
        _ => bail!("usage: cargo xtask catalogue [--check]"),
    }
}
