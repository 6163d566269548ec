//! `billhook events show`.

use std::process::ExitCode;

use anyhow::Context as _;
use billhook_store::EventDetail;
use serde::Serialize;
use serde_json::value::RawValue;

use super::list::Summary;
use super::state_name;
use crate::failure::Hinted;
use crate::settings::configuration::Configuration;
use crate::{database, output};

/// Which delivery, and how much of it.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The event's id
    event: String,
    /// Print the body as well, which holds personal data
    #[arg(long)]
    body: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A delivery, for programs.
#[derive(Debug, Serialize)]
struct Detail<'a> {
    #[serde(flatten)]
    summary: Summary<'a>,
    api_version: &'a str,
    secret_index: i16,
    body_bytes: usize,
    body_sha256: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Body<'a>>,
}

/// A body: the JSON document itself, or a text when it is none.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum Body<'a> {
    Document(&'a RawValue),
    Text(std::borrow::Cow<'a, str>),
}

impl<'a> Body<'a> {
    fn of(raw: &'a [u8]) -> Self {
        match serde_json::from_slice::<&RawValue>(raw) {
            Ok(document) => Self::Document(document),
            Err(_) => Self::Text(String::from_utf8_lossy(raw)),
        }
    }
}

/// Shows one delivery.
pub async fn run(arguments: &Arguments, configuration: &Configuration) -> anyhow::Result<ExitCode> {
    let store = database::open_current(configuration).await?;
    let found = store.event(&arguments.event).await.context("read the delivery");
    store.close().await;
    let Some(event) = found? else {
        let message = format!("there is no delivery of {}", output::printable(&arguments.event));
        return Err(Hinted::new(message, "`billhook events list` shows what there is").into());
    };
    let body = arguments.body.then(|| Body::of(&event.raw));
    if arguments.json {
        output::json(&Detail {
            summary: Summary::from(&event.summary),
            api_version: &event.api_version,
            secret_index: event.secret_index,
            body_bytes: event.raw.len(),
            body_sha256: hex(&event.sha256),
            body,
        })?;
    } else {
        print(&event, body.as_ref())?;
    }
    Ok(ExitCode::SUCCESS)
}

fn print(event: &EventDetail, body: Option<&Body<'_>>) -> anyhow::Result<()> {
    let summary = &event.summary;
    let created = summary.created.and_then(|seconds| jiff::Timestamp::from_second(seconds).ok());
    for (name, value) in [
        ("event", summary.event_id.clone()),
        ("type", summary.event_type.clone()),
        ("object", format!("{} {}", summary.object, summary.object_id)),
        ("created", created.map(|created| created.to_string()).unwrap_or_default()),
        ("received", summary.received_at.to_string()),
        ("state", state_name(summary.state).to_owned()),
        ("sequence", summary.sequence.to_string()),
        ("api version", event.api_version.clone()),
        ("came by", origin(event.secret_index)),
        ("body", format!("{} bytes, SHA-256 {}", event.raw.len(), hex(&event.sha256))),
    ] {
        output::line(&format!("{name:<12}{}", output::printable(&value)))?;
    }
    match body {
        None => {}
        Some(Body::Document(document)) => output::line(&format!("\n{}", output::indented(document.get())))?,
        Some(Body::Text(text)) => output::line(&format!("\n{}", output::printable(text)))?,
    }
    Ok(())
}

/// How an event came: negative numbers stand for Stripe's list, see [`EventDetail::secret_index`].
fn origin(secret_index: i16) -> String {
    match secret_index {
        ..0 => "Stripe's list of events".to_owned(),
        _ => format!(
            "a delivery signed with webhook secret number {}: the configured ones, then those of managed endpoints",
            i32::from(secret_index) + 1
        ),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
