//! `billhook events send`: an event of one's own, for functions.

use std::io::Read as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, bail};
use billhook_flow::engine::{Matcher, Publish, handed_in};
use billhook_flow::intake;
use serde_json::{Map, Value, json};

use crate::command::clock;
use crate::settings::configuration::Configuration;
use crate::{database, output};

/// Which event.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The event's name, e.g. app/order.placed
    name: String,
    /// Its data, a JSON object
    #[arg(long, value_name = "JSON", conflicts_with = "file")]
    data: Option<String>,
    /// A file with its data; - reads standard input
    #[arg(long, value_name = "FILE")]
    file: Option<PathBuf>,
    /// Its id; a second event with the same id starts nothing
    #[arg(long, value_name = "ID")]
    id: Option<String>,
    /// When it takes effect, e.g. 2026-12-24T18:00:00Z; at once without it
    #[arg(long, value_name = "TIME")]
    at: Option<String>,
}

/// Writes the event; the process that executes functions publishes it.
pub async fn run(arguments: &Arguments, configuration: &Configuration) -> anyhow::Result<ExitCode> {
    let store = database::open_current(configuration).await?;
    let now = clock::now(&store).await?;
    let mut event = Map::from_iter([("name".to_owned(), json!(arguments.name)), ("data".to_owned(), data(arguments)?)]);
    event.extend(arguments.id.as_ref().map(|id| ("id".to_owned(), json!(id))));
    event.extend(arguments.at.as_ref().map(|at| ("ts".to_owned(), json!(at))));
    let events = match intake::read(Value::Object(event).to_string().as_bytes(), now) {
        Ok(events) => events,
        Err(error) => bail!("the event cannot be sent: {error}"),
    };
    let publications = events.iter().map(|event| handed_in(event, now)).collect();
    let published = store.transact(Publish { publications, matcher: Arc::new(Matcher), now }).await;
    store.hint_flow_runs().await;
    store.close().await;
    let published = published.context("write the event")?;
    for (event, published) in events.iter().zip(published) {
        let what = if published.is_duplicate { "was sent before; nothing is started again" } else { "is written" };
        output::line(&format!("{} {} {what}", event.name, event.id))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn data(arguments: &Arguments) -> anyhow::Result<Value> {
    let text = match (&arguments.data, &arguments.file) {
        (Some(text), _) => text.clone(),
        (None, Some(file)) if file.as_os_str() == "-" => {
            let mut text = String::new();
            std::io::stdin().read_to_string(&mut text).context("read the data from standard input")?;
            text
        }
        (None, Some(file)) => {
            std::fs::read_to_string(file).with_context(|| format!("read the data from {}", file.display()))?
        }
        (None, None) => return Ok(json!({})),
    };
    serde_json::from_str(&text).context("the data is no JSON")
}
