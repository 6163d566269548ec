//! `billhook clock`: the time of functions, moved by hand in test installations.

use std::process::ExitCode;

use billhook_core::{Clock as _, SystemClock};
use billhook_flow::test_clock::frozen_at;
use billhook_store::{Store, StoreError};
use jiff::Timestamp;
use serde_json::{Value, json};

use super::events::post::{Connection, Target, address};
use crate::failure::Hinted;
use crate::settings::configuration::Configuration;
use crate::{logging, output};

/// Where the server has it.
const PATH: &str = "/test/clock";

/// What to do with the clock.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Show the time of functions
    Show(Server),
    /// Let the time of functions stand still
    Freeze(Server),
    /// Move the time of functions forward, and wait until all is done that is due on the way
    Advance(Advance),
}

/// Which server.
#[derive(Debug, clap::Args)]
pub struct Server {
    /// The server's address, e.g. http://127.0.0.1:8080; that of the settings without it
    #[arg(long, value_name = "URL")]
    url: Option<String>,
}

/// How far.
#[derive(Debug, clap::Args)]
pub struct Advance {
    /// By so much, e.g. 30d, 12h or 1h30m; a day has 24 hours
    #[arg(value_name = "DURATION", required_unless_present = "to", conflicts_with = "to")]
    by: Option<String>,
    /// To this time, e.g. 2026-12-24T18:00:00Z
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    #[command(flatten)]
    server: Server,
}

/// Runs the command.
///
/// # Errors
/// When the server is away or refuses it.
pub fn run(command: &Command, configuration: &Configuration) -> anyhow::Result<ExitCode> {
    logging::start(&configuration.log);
    let (server, body) = match command {
        Command::Show(server) => (server, None),
        Command::Freeze(server) => (server, Some(json!({ "freeze": true }))),
        Command::Advance(Advance { by: Some(by), server, .. }) => (server, Some(json!({ "advance_by": by }))),
        Command::Advance(Advance { to, server, .. }) => (server, Some(json!({ "advance_to": to }))),
    };
    crate::database::block_on(ask(server, body, configuration))
}

async fn ask(server: &Server, body: Option<Value>, configuration: &Configuration) -> anyhow::Result<ExitCode> {
    let Some(key) = &configuration.api_key else {
        return Err(Hinted::new("there is no API key to ask the server with", "set BILLHOOK_API_KEY as for it").into());
    };
    let base = match &server.url {
        Some(url) => url.trim_end_matches('/').to_owned(),
        None => address(configuration)?,
    };
    let mut connection = Connection::open(Target::parse(&format!("{base}{PATH}"))?).await?;
    let answer = connection.ask(key, body.map(|body| body.to_string().into_bytes())).await?;
    let document: Value = serde_json::from_str(&answer.text).unwrap_or_default();
    let (now, is_frozen) = (&document["data"]["now"], document["data"]["frozen"] == true);
    let (200, Some(now)) = (answer.status, now.as_str()) else {
        let why = document["error"].as_str().unwrap_or(&answer.text);
        return Err(Hinted::new(
            format!("the server answers {}: {}", answer.status, output::printable(why)),
            "see docs/commands.md",
        )
        .into());
    };
    output::line(&format!("{now} {}", if is_frozen { "frozen" } else { "goes with the system's" }))?;
    Ok(ExitCode::SUCCESS)
}

/// The time of functions in a database.
///
/// # Errors
/// When the database fails.
pub async fn now(store: &Store) -> Result<Timestamp, StoreError> {
    Ok(frozen_at(store).await?.unwrap_or_else(|| SystemClock.now()))
}
