//! `billhook quarantine list`.

use std::process::ExitCode;

use anyhow::Context as _;
use billhook_store::QuarantineSummary;
use serde::Serialize;

use super::advice;
use crate::database;
use crate::output::{self, Listing};
use crate::settings::configuration::Configuration;

/// How many.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// At most so many
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=10_000))]
    limit: u16,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// An entry, for programs.
#[derive(Debug, Serialize)]
pub struct Entry<'a> {
    event_id: &'a str,
    #[serde(rename = "type")]
    event_type: &'a str,
    reason: &'a str,
    detail: &'a str,
    advice: &'static str,
    applied: bool,
    at: String,
}

impl<'a> From<&'a QuarantineSummary> for Entry<'a> {
    fn from(entry: &'a QuarantineSummary) -> Self {
        Self {
            event_id: &entry.event_id,
            event_type: &entry.event_type,
            reason: &entry.reason,
            detail: &entry.detail,
            advice: advice(&entry.reason),
            applied: entry.applied,
            at: entry.at.to_string(),
        }
    }
}

/// Lists open entries.
pub async fn run(arguments: &Arguments, configuration: &Configuration) -> anyhow::Result<ExitCode> {
    let store = database::open_current(configuration).await?;
    let entries = store.list_quarantine(usize::from(arguments.limit)).await.context("list the quarantine");
    store.close().await;
    let entries = entries?;
    if arguments.json {
        output::json(&entries.iter().map(Entry::from).collect::<Vec<_>>())?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut listing = Listing::new(&["EVENT", "TYPE", "REASON", "DETAIL", "MIRRORED", "SINCE"]);
    for entry in entries {
        listing.add([
            entry.event_id,
            entry.event_type,
            entry.reason,
            entry.detail,
            if entry.applied { "yes" } else { "no" }.to_owned(),
            entry.at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
        ]);
    }
    listing.print()?;
    Ok(ExitCode::SUCCESS)
}
