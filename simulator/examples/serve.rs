//! Runs a simulator by itself, for scripts that speak to it with Stripe's own libraries: prints its address and ends with its input.
//!
//! `cargo run -p billhook-simulator --example serve`

use std::io::{Read as _, Write as _};

use billhook_simulator::{Options, Simulator};

fn main() -> anyhow::Result<()> {
    let simulator = Simulator::start(Options::default())?;
    let mut out = std::io::stdout();
    writeln!(out, "{}", simulator.base_url())?;
    out.flush()?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    simulator.stop();
    Ok(())
}
