//! `billhook events list`.

use std::process::ExitCode;

use anyhow::Context as _;
use billhook_store::{EventFilter, EventSummary};
use serde::Serialize;

use super::state_name;
use crate::database;
use crate::output::{self, Listing};
use crate::settings::configuration::Configuration;

/// Which deliveries.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Only events of this type, e.g. `invoice.paid`
    #[arg(long = "type", value_name = "TYPE")]
    event_type: Option<String>,
    /// Only events about the object with this id
    #[arg(long, value_name = "ID")]
    object: Option<String>,
    /// Only deliveries before this sequence number: the next page
    #[arg(long, value_name = "SEQUENCE")]
    before: Option<i64>,
    /// At most so many
    #[arg(long, value_name = "NUMBER", default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    limit: u16,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A delivery in a list, for programs.
#[derive(Debug, Serialize)]
pub struct Summary<'a> {
    sequence: i64,
    event_id: &'a str,
    #[serde(rename = "type")]
    event_type: &'a str,
    object: &'a str,
    object_id: &'a str,
    created: Option<i64>,
    received_at: String,
    state: &'static str,
}

impl<'a> From<&'a EventSummary> for Summary<'a> {
    fn from(event: &'a EventSummary) -> Self {
        Self {
            sequence: event.sequence,
            event_id: &event.event_id,
            event_type: &event.event_type,
            object: &event.object,
            object_id: &event.object_id,
            created: event.created,
            received_at: event.received_at.to_string(),
            state: state_name(event.state),
        }
    }
}

/// Lists deliveries.
pub async fn run(arguments: Arguments, configuration: &Configuration) -> anyhow::Result<ExitCode> {
    let filter = EventFilter {
        event_type: arguments.event_type,
        object_id: arguments.object,
        before_sequence: arguments.before,
        limit: usize::from(arguments.limit),
    };
    let store = database::open_current(configuration).await?;
    let events = store.list_events(filter).await.context("list deliveries");
    store.close().await;
    let events = events?;
    if arguments.json {
        output::json(&events.iter().map(Summary::from).collect::<Vec<_>>())?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut listing = Listing::new(&["SEQUENCE", "EVENT", "TYPE", "OBJECT", "RECEIVED", "STATE"]);
    for event in events {
        listing.add([
            event.sequence.to_string(),
            event.event_id,
            event.event_type,
            event.object_id,
            event.received_at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            state_name(event.state).to_owned(),
        ]);
    }
    listing.print()?;
    Ok(ExitCode::SUCCESS)
}
