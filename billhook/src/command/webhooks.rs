//! `billhook webhooks`: the endpoints at Stripe that deliver to this mirror.

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use billhook_core::SystemClock;
use billhook_core::metrics::Metrics;
use billhook_mirror::endpoints::{Endpoints, Ensured, Listed, Standing};
use billhook_store::Role;
use serde::Serialize;

use crate::failure::Hinted;
use crate::output::{self, Listing};
use crate::settings::configuration::Configuration;
use crate::{database, logging, stripe_api};

/// What to do with webhook endpoints.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List the account's endpoints, and which of them are looked after here
    List(ListArguments),
    /// Make the endpoint for `public_url`, or adopt the one that is there
    Create,
    /// Make an endpoint with a new secret; the old one delivers for another day
    Rotate,
    /// Remove an endpoint at Stripe, and forget its secret
    Remove(RemoveArguments),
}

/// How to list.
#[derive(Debug, clap::Args)]
pub struct ListArguments {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// What to remove.
#[derive(Debug, clap::Args)]
pub struct RemoveArguments {
    /// The endpoint, e.g. `we_1Nabc`
    #[arg(value_name = "ID")]
    id: String,
}

/// An endpoint, for programs.
#[derive(Debug, Serialize)]
struct Endpoint<'a> {
    id: &'a str,
    url: &'a str,
    api_version: &'a str,
    state: String,
    managed: bool,
}

impl<'a> From<&'a Listed> for Endpoint<'a> {
    fn from(listed: &'a Listed) -> Self {
        let state = match listed.standing {
            Standing::Active => "active".to_owned(),
            Standing::Disabled => "disabled".to_owned(),
            Standing::Retiring(at) => format!("retiring until {}", at.strftime("%Y-%m-%dT%H:%M:%SZ")),
            Standing::Gone => "gone at Stripe".to_owned(),
        };
        let Listed { id, url, api_version, is_managed, .. } = listed;
        Self { id, url, api_version, state, managed: *is_managed }
    }
}

/// Runs the command.
pub fn run(command: &Command, configuration: &Configuration) -> anyhow::Result<ExitCode> {
    logging::start_quiet(&configuration.log);
    database::block_on(async {
        let api = stripe_api::required(configuration, Arc::new(Metrics::new()))?;
        let store = database::open(configuration, Role::Tool).await?;
        let done = async {
            database::prepare(configuration, &store).await?;
            let endpoints = Endpoints::new(api, store.clone(), Arc::new(SystemClock));
            match command {
                Command::List(arguments) => list(&endpoints, arguments.json).await,
                Command::Create => create(&endpoints, configuration).await,
                Command::Rotate => told(&endpoints.rotate().await.context("rotate the webhook endpoint")?),
                Command::Remove(arguments) => {
                    endpoints.remove(&arguments.id).await.context("remove the webhook endpoint")?;
                    output::line(&format!("{} is removed", output::printable(&arguments.id)))?;
                    Ok(())
                }
            }
        };
        let done = done.await;
        store.close().await;
        done
    })?;
    Ok(ExitCode::SUCCESS)
}

async fn list(endpoints: &Endpoints, json: bool) -> anyhow::Result<()> {
    let listed = endpoints.list().await.context("list webhook endpoints")?;
    let listed: Vec<Endpoint<'_>> = listed.iter().map(Endpoint::from).collect();
    if json {
        output::json(&listed)?;
        return Ok(());
    }
    let mut listing = Listing::new(&["ENDPOINT", "URL", "API VERSION", "STATE", "SECRET"]);
    for endpoint in listed {
        let secret = if endpoint.managed { "here" } else { "not here" };
        listing.add([endpoint.id, endpoint.url, endpoint.api_version, &endpoint.state, secret].map(str::to_owned));
    }
    listing.print()?;
    Ok(())
}

async fn create(endpoints: &Endpoints, configuration: &Configuration) -> anyhow::Result<()> {
    let url = configuration
        .public_url
        .as_deref()
        .ok_or_else(|| Hinted::new("where Stripe reaches this server is not known", "set --public-url https://…"))?;
    told(&endpoints.ensure(url, &configuration.stripe.api_version).await.context("make the webhook endpoint")?)
}

fn told(ensured: &Ensured) -> anyhow::Result<()> {
    let what = match (ensured.is_new, ensured.is_repaired) {
        (true, _) => "was made, and its secret is kept in the database",
        (false, true) => "was there and is enabled again for all events",
        (false, false) => "is there and as it should be",
    };
    output::line(&format!("{} {what}", ensured.id))?;
    for (id, until) in &ensured.retiring {
        let until = until.strftime("%Y-%m-%dT%H:%M:%SZ");
        output::line(&format!("{id} delivers until {until} and is then removed by `billhook serve`"))?;
    }
    Ok(())
}
