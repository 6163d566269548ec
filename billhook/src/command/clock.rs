//! `billhook clock`: the time of functions, moved by hand in test installations.

use std::process::ExitCode;

use billhook_core::{Clock as _, Secret, SystemClock};
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
    let mut clock = exchange(&mut connection, key, body).await?;
    // The server answers in between when it takes long.
    while clock["done"] == false {
        clock = exchange(&mut connection, key, Some(json!({ "advance_to": clock["to"] }))).await?;
    }
    let state = if clock["frozen"] == true { "frozen" } else { "goes with the system's" };
    output::line(&format!("{} {state}", output::printable(clock["now"].as_str().unwrap_or_default())))?;
    Ok(ExitCode::SUCCESS)
}

/// One request; gives what the server says of the clock.
async fn exchange(connection: &mut Connection, key: &Secret, body: Option<Value>) -> anyhow::Result<Value> {
    let answer = connection.ask(key, body.map(|body| body.to_string().into_bytes())).await?;
    let mut document: Value = serde_json::from_str(&answer.text).unwrap_or_default();
    if answer.status == 200 && document["data"]["now"].is_string() {
        return Ok(document["data"].take());
    }
    let why = document["error"].as_str().unwrap_or(&answer.text);
    let what = format!("the server answers {}: {}", answer.status, output::printable(why));
    Err(Hinted::new(what, "docs/http.md tells when the time of functions is moved").into())
}

/// The time of functions in a database.
///
/// # Errors
/// When the database fails.
pub async fn now(store: &Store) -> Result<Timestamp, StoreError> {
    Ok(frozen_at(store).await?.unwrap_or_else(|| SystemClock.now()))
}
