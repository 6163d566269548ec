//! `billhook sync drift`.

use std::process::ExitCode;

use anyhow::Context as _;
use billhook_store::StoredDrift;
use serde::Serialize;

use crate::database;
use crate::output::{self, Listing};
use crate::settings::configuration::Configuration;

/// How much to show.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// At most so many, newest first
    #[arg(long, value_name = "NUMBER", default_value_t = 40, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    limit: u16,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A find, for programs.
#[derive(Debug, Serialize)]
struct Find<'a> {
    object: &'a str,
    id: &'a str,
    kind: &'static str,
    properties: &'a str,
    state: &'static str,
    found_at: String,
}

impl<'a> From<&'a StoredDrift> for Find<'a> {
    fn from(stored: &'a StoredDrift) -> Self {
        let find = &stored.find;
        Self {
            object: &find.object,
            id: &find.id,
            kind: find.kind.name(),
            properties: &find.detail,
            state: if stored.confirmed_at.is_some() { "drift" } else { "an event may still explain it" },
            found_at: find.found_at.to_string(),
        }
    }
}

/// Lists what was found.
pub async fn run(arguments: &Arguments, configuration: &Configuration) -> anyhow::Result<ExitCode> {
    let store = database::open_current(configuration).await?;
    let finds = store.list_drift(usize::from(arguments.limit)).await.context("list drift");
    store.close().await;
    let finds = finds?;
    let finds: Vec<Find<'_>> = finds.iter().map(Find::from).collect();
    if arguments.json {
        output::json(&finds)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut listing = Listing::new(&["OBJECT", "ID", "DIFFERENCE", "PROPERTIES", "STATE", "FOUND"]);
    for find in finds {
        listing.add([find.object, find.id, find.kind, find.properties, find.state, &find.found_at].map(str::to_owned));
    }
    listing.print()?;
    Ok(ExitCode::SUCCESS)
}
