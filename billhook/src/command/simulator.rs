//! `billhook simulator`: the simulated account alone, for trying things against it.

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Context as _;
use billhook_simulator::{Options, Simulator};

use crate::settings::configuration::Configuration;
use crate::{database, logging, signals};

/// How to simulate.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Where to listen; a loopback address, since the simulator has no protection
    #[arg(long = "at", value_name = "ADDRESS", default_value = "127.0.0.1:8420")]
    at: SocketAddr,
    /// The same seed gives the same ids and the same history
    #[arg(long, value_name = "NUMBER", default_value_t = 1)]
    seed: u64,
    /// The account's API key
    #[arg(long, value_name = "KEY", default_value = "sk_test_simulator0123456789")]
    key: String,
}

/// Simulates until a signal asks to stop.
pub fn run(arguments: &Arguments, configuration: &Configuration) -> anyhow::Result<ExitCode> {
    logging::start(&configuration.log);
    database::block_on(async {
        let stopped = signals::listen().context("listen for signals")?;
        let options =
            Options { listen: arguments.at, seed: arguments.seed, key: arguments.key.clone(), ..Options::default() };
        let simulator = tokio::task::spawn_blocking(move || Simulator::start(options)).await??;
        let address = simulator.address();
        tracing::info!(%address, "listening: a simulated Stripe account; use it as the API's base URL");
        signals::stopped(stopped).await;
        // It owns a runtime, which must not end inside this one.
        tokio::task::spawn_blocking(move || simulator.stop()).await?;
        Ok(ExitCode::SUCCESS)
    })
}
