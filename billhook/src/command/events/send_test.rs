//! `billhook events send-test`: signs an event as Stripe does, sends it, and waits for its row.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use billhook_core::Secret;
use billhook_store::{EventState, Store};
use billhook_stripe::envelope::Envelope;
use billhook_stripe::{catalogue, signature};

use super::post::{Connection, Target, address};
use super::sample::{self, Sample};
use crate::failure::{FAILED, Hinted};
use crate::settings::configuration::{Configuration, Mode};
use crate::settings::database::Database;
use crate::{database, local_secret, output};

/// Longest wait for a row, in seconds.
const APPLY_DEADLINE_SECONDS: u64 = 10;

/// Between two looks into the database, in milliseconds.
const LOOK_INTERVAL_MS: u64 = 20;

/// What to send, and where to.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Type of the event
    #[arg(long = "type", value_name = "TYPE", default_value = "customer.created", conflicts_with = "file")]
    event_type: String,
    /// Send this file as it is, instead of an event made here
    #[arg(long, value_name = "PATH")]
    file: Option<PathBuf>,
    /// Where to send, instead of /webhooks on the configured address
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Send so many, each about an object of its own
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    count: u32,
}

/// Sends and waits.
pub async fn run(arguments: &Arguments, configuration: &Configuration) -> anyhow::Result<ExitCode> {
    let secret = secret(configuration)?;
    let target = Target::parse(&url(arguments, configuration)?)?;
    let store = database::open_current(configuration).await;
    let livemode = match &arguments.file {
        None => livemode(configuration, store.as_ref().ok()).await?,
        Some(_) => false,
    };
    let mut connection = Connection::open(target).await?;
    let mut all_well = true;
    for _ in 0..arguments.count {
        let sample = sample(arguments, livemode)?;
        let header = signature::sign(&secret, jiff::Timestamp::now().as_second(), &sample.body);
        let sent = Instant::now();
        let answer = connection.send(&header, sample.body).await?;
        let text = output::printable(answer.text.trim());
        output::line(&format!("{} {} {text}", answer.status, output::printable(&sample.event_id)))?;
        all_well &= answer.status == 200;
        if answer.status == 200
            && let Ok(store) = &store
        {
            all_well &= wait_for_row(store, &sample.event_id, sent).await?;
        }
    }
    match store {
        Ok(store) => store.close().await,
        Err(error) => output::line(&format!("not looking for the row, since the database cannot be read: {error:#}"))?,
    }
    Ok(if all_well { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

/// The first configured secret, or the local one that the server has made.
fn secret(configuration: &Configuration) -> anyhow::Result<Secret> {
    if let Some(secret) = configuration.stripe.webhook_secrets.first() {
        return Ok(secret.clone());
    }
    let local = match configuration.local_secret_file() {
        Some(file) => local_secret::read(&file)?,
        None => None,
    };
    local.ok_or_else(|| {
        let hint = "set STRIPE_WEBHOOK_SECRET as for the server, or start `billhook serve` here first";
        Hinted::new("there is no webhook secret to sign with", hint).into()
    })
}

fn url(arguments: &Arguments, configuration: &Configuration) -> anyhow::Result<String> {
    match &arguments.url {
        Some(url) => Ok(url.clone()),
        None => Ok(format!("{}/webhooks", address(configuration)?)),
    }
}

/// Live or test mode as the database has it. The first delivery decides the mode of a database, so a test event must not be
/// the first one of a database that is meant for live deliveries.
async fn livemode(configuration: &Configuration, store: Option<&Store>) -> anyhow::Result<bool> {
    if let Some(mode) = configuration.stripe.mode {
        return Ok(mode == Mode::Live);
    }
    let pinned = match store {
        Some(store) => store.setting("mode").await.context("read the mode of the database")?,
        None => None,
    };
    match pinned.as_deref().and_then(Mode::of_name) {
        Some(mode) => Ok(mode == Mode::Live),
        None if matches!(configuration.database, Database::Sqlite { .. }) && configuration.is_loopback() => Ok(false),
        None => {
            let hint = "name it with --mode test or --mode live";
            Err(Hinted::new("the database has no mode yet, and this event would decide it", hint).into())
        }
    }
}

fn sample(arguments: &Arguments, livemode: bool) -> anyhow::Result<Sample> {
    let Some(path) = &arguments.file else {
        return sample::event(&arguments.event_type, jiff::Timestamp::now().as_second(), livemode);
    };
    let body = std::fs::read(path).with_context(|| format!("read {}", path.display()))?;
    let event_id = Envelope::parse(&body).ok().and_then(|envelope| envelope.id).unwrap_or_default();
    Ok(Sample { event_id, body })
}

/// Waits until the delivery is applied and says where its row is. False when it was set aside or takes too long.
async fn wait_for_row(store: &Store, event_id: &str, sent: Instant) -> anyhow::Result<bool> {
    while sent.elapsed() < Duration::from_secs(APPLY_DEADLINE_SECONDS) {
        let Some(event) = store.event(event_id).await.context("look for the row")? else {
            output::line("  stored under another id, or in another database than the configured one")?;
            return Ok(true);
        };
        let summary = event.summary;
        match summary.state {
            EventState::Applied => {
                let table = catalogue::table_of(&summary.object).unwrap_or_else(catalogue::other_objects);
                let row = output::printable(&summary.object_id);
                output::line(&format!("  row {row} in table {} after {} ms", table.name, sent.elapsed().as_millis()))?;
                return Ok(true);
            }
            EventState::Quarantined => {
                output::line(&format!("  set aside: billhook quarantine show {}", output::printable(event_id)))?;
                return Ok(false);
            }
            EventState::Pending => tokio::time::sleep(Duration::from_millis(LOOK_INTERVAL_MS)).await,
        }
    }
    output::line(&format!("  stored, and not applied within {APPLY_DEADLINE_SECONDS} s: see the server's log"))?;
    Ok(false)
}
