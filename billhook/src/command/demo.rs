//! `billhook demo`: a simulated company, a fresh database and everything on, without an account and without a network.

mod clock;
mod company;
mod news;

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use billhook_billing::{EXTENSION, Workflow};
use billhook_core::Secret;
use billhook_flow::Functions;
use billhook_mirror::sync::runs::{self, Request};
use billhook_mirror::sync::{Window, names};
use billhook_simulator::story::{Line, Story};
use billhook_simulator::{ClockMode, Options, Simulator};
use billhook_store::{Role, SchemaState, Store};
use billhook_stripe::api::ApiKey;
use jiff::Timestamp;

use self::clock::FastClock;
use self::news::News;
use super::{configuration, serve};
use crate::functions::FunctionClock;
use crate::output;
use crate::settings::Resolution;
use crate::settings::configuration::{Configuration, Mode};
use crate::settings::database::Database;
use crate::{database, local_secret, logging, process};

/// Seconds in a day.
const DAY_SECONDS: i64 = 86_400;

/// How long ago the company was founded when the demo begins, in days: this much there is to backfill.
const PAST_DAYS: u32 = 45;

/// How far in the past the story begins, in days. It must not overtake the present, because nothing at Stripe is in the future.
const BEGIN_DAYS_AGO: i64 = 700;

/// Between two looks at the story, in milliseconds.
const TELL_INTERVAL_MS: u64 = 200;

/// Between two times at which the demo says where to look, in looks.
const LOOK_EVERY: u64 = 60;

/// How to demonstrate.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Simulated days that pass in a second
    #[arg(long, value_name = "NUMBER", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=30))]
    days_per_second: u32,
    /// The same seed tells the same story
    #[arg(long, value_name = "NUMBER", default_value_t = 7)]
    seed: u64,
    /// Where the database goes; a fresh folder for temporary files when left out
    #[arg(long, value_name = "PATH")]
    folder: Option<PathBuf>,
}

/// Demonstrates until a signal asks to stop.
pub fn run(arguments: &Arguments, resolution: &Resolution, functions: Functions<()>) -> anyhow::Result<ExitCode> {
    let folder = folder(arguments)?;
    let key = random_key()?;
    let simulator = simulator(arguments, &key)?;
    let mut configuration = configuration(resolution)?;
    prepare(&mut configuration, &folder, &simulator, key);
    logging::start_quiet(&configuration.log);
    process::end_on_panic();
    let database = folder.join("billhook.db");
    welcome(&configuration, &simulator, &database)?;
    let mut story = Story::new(arguments.seed);
    let begun = simulator.account(|account| story.run(account, PAST_DAYS));
    output::line(&format!("{} things happened before Billhook came.", begun.len()))?;
    let clock = clock(arguments, &simulator)?;
    let code = database::block_on(async {
        let telling = tell(&simulator, story, &configuration, &database);
        let serving = serve::serve(&configuration, functions, Some(clock));
        tokio::pin!(serving);
        tokio::select! {
            code = &mut serving => code,
            told = telling => {
                // Nobody reads any more; the server goes on until it is stopped.
                if let Err(error) = told {
                    tracing::debug!(%error, "the story is no longer told");
                }
                serving.await
            }
        }
    });
    // It owns a runtime, which must end outside of ours.
    simulator.stop();
    output::line(&format!("\nThe database stays in {}.", folder.display()))?;
    code
}

/// A folder of the demo's own: what is there already is somebody's.
fn folder(arguments: &Arguments) -> anyhow::Result<PathBuf> {
    let folder = match &arguments.folder {
        Some(folder) => folder.clone(),
        None => std::env::temp_dir().join(format!("billhook-demo-{}", Timestamp::now().strftime("%Y%m%d-%H%M%S"))),
    };
    std::fs::create_dir_all(&folder).with_context(|| format!("make the folder {}", folder.display()))?;
    Ok(folder)
}

/// How many simulated seconds pass in one.
fn factor(arguments: &Arguments) -> anyhow::Result<u32> {
    Ok(arguments.days_per_second * u32::try_from(DAY_SECONDS)?)
}

/// Functions sleep by the account's clock, so that three days are over after three seconds.
fn clock(arguments: &Arguments, simulator: &Simulator) -> anyhow::Result<FunctionClock> {
    let (now, factor) = (simulator.account(|account| account.now()), factor(arguments)?);
    let clock = FastClock::new(Timestamp::from_second(now)?, factor);
    Ok(FunctionClock::fast(Arc::new(clock), i32::try_from(factor)?))
}

fn simulator(arguments: &Arguments, key: &str) -> anyhow::Result<Simulator> {
    let start = Timestamp::now().as_second() - BEGIN_DAYS_AGO * DAY_SECONDS;
    let factor = factor(arguments)?;
    let clock = ClockMode::Fast { start, factor };
    Simulator::start(Options { seed: arguments.seed, key: key.to_owned(), clock, ..Options::default() })
}

/// A key of this run's own, so that nothing on this machine reaches the account by accident.
fn random_key() -> anyhow::Result<String> {
    Ok(format!("sk_test_{}", local_secret::random_hex()?))
}

/// Points the settings at the simulator and the fresh database; what else is set stays.
fn prepare(configuration: &mut Configuration, folder: &Path, simulator: &Simulator, key: String) {
    configuration.database = Database::Sqlite { path: folder.join("billhook.db") };
    configuration.listen = free(configuration.listen);
    configuration.public_url = Some(format!("http://{}", configuration.listen));
    configuration.disable_migrations = false;
    configuration.apply.lanes = 1;
    let billing = &mut configuration.billing;
    billing.workflows = Workflow::NAMES.iter().filter_map(|name| Workflow::of_name(name)).collect();
    billing.users_table = None;
    let stripe = &mut configuration.stripe;
    // The endpoint that it makes has a secret of its own; with none here it would make and announce a local one.
    stripe.webhook_secrets = vec![Secret::new(format!("whsec_{}", key.trim_start_matches("sk_test_")))];
    stripe.mode = Some(Mode::Test);
    stripe.account = None;
    stripe.key = Some(ApiKey::Fixed(Secret::new(key)));
    stripe.api_base = simulator.base_url();
    stripe.requests_per_second = Some(1_000);
    // A simulated day passes in a second, so what happens once a minute happens every second.
    let sync = &mut configuration.sync;
    sync.catch_up_interval_seconds = 1;
    sync.reconcile_period_seconds = 30;
    sync.reconcile_requests_per_second = 50;
}

/// The address, or another port when something listens there already.
fn free(address: SocketAddr) -> SocketAddr {
    let is_free = |address: SocketAddr| TcpListener::bind(address).and_then(|listener| listener.local_addr()).ok();
    is_free(address).or_else(|| is_free(SocketAddr::new(address.ip(), 0))).unwrap_or(address)
}

fn welcome(configuration: &Configuration, simulator: &Simulator, database: &Path) -> std::io::Result<()> {
    output::line(&format!(
        "A simulated company, its Stripe account, and Billhook between them.\n\n  \
         Billhook   http://{}\n  Stripe     {} (simulated)\n  database   {}\n\n\
         The first {PAST_DAYS} days are over; they are read by a backfill. Then a day passes in a second. Ctrl-C ends it.\n",
        configuration.listen,
        simulator.base_url(),
        database.display()
    ))
}

/// Reads what happened before, then tells what happens and where to look, until the output is closed.
async fn tell(
    simulator: &Simulator,
    mut story: Story,
    configuration: &Configuration,
    file: &Path,
) -> anyhow::Result<()> {
    let store = opened(configuration, file).await?;
    company::settle(&store).await?;
    backfill(&store, configuration).await?;
    let mut news = News::new();
    let mut ticks = tokio::time::interval(Duration::from_millis(TELL_INTERVAL_MS));
    for tick in 1_u64.. {
        ticks.tick().await;
        for line in simulator.account(|account| story.step(account)) {
            output::line(&told(&line))?;
        }
        for line in news.next(&store).await? {
            output::line(&format!("{:>17}  {line}", "->"))?;
        }
        if tick % LOOK_EVERY == 0 {
            look(&store, file).await?;
        }
    }
    Ok(())
}

fn told(line: &Line) -> String {
    format!("{:>17}  {}", line.day(), line.text)
}

/// The database, once the server has made it.
async fn opened(configuration: &Configuration, file: &Path) -> anyhow::Result<Store> {
    loop {
        if file.exists() {
            let store = database::open(configuration, Role::Tool).await?;
            let is_current = store.schema_state().await.is_ok_and(|state| state == SchemaState::Current);
            if is_current && store.missing_of_extension(&EXTENSION).await.is_ok_and(|missing| missing.is_empty()) {
                return Ok(store);
            }
            store.close().await;
        }
        tokio::time::sleep(Duration::from_millis(TELL_INTERVAL_MS)).await;
    }
}

/// Asks the server for everything, and waits until it is there.
async fn backfill(store: &Store, configuration: &Configuration) -> anyhow::Result<()> {
    let request = Request {
        targets: names::contract_all(),
        window: Window::default(),
        trigger: "start",
        related: configuration.stripe.backfill_related_entities,
        livemode: Some(false),
    };
    let started = Timestamp::now();
    let runs = runs::start(store, &request, started).await?;
    let ids: Vec<i64> = runs.iter().map(|run| run.run.run()).collect();
    let ended = runs::wait(store, &ids).await?;
    let objects: u64 = ended.iter().map(|run| run.objects).sum();
    let seconds = Timestamp::now().duration_since(started).as_secs_f64();
    output::line(&format!("The backfill read {objects} objects in {seconds:.1} s. From here on, events:\n"))?;
    Ok(())
}

/// Tables whose rows the demo counts.
const COUNTED: [&str; 6] = ["customers", "subscriptions", "invoices", "charges", "refunds", "disputes"];

/// What to ask the database.
const LOOKS: [&str; 4] = [
    "SELECT s.status, count(*) FROM subscriptions s GROUP BY 1",
    "SELECT u.email, c.amount, c.currency FROM billing_charges c JOIN billing_users u ON u.id = c.user_id",
    "SELECT created_at, template, recipient FROM billing_outbox",
    "SELECT function, state, count(*) FROM billhook_flow_runs GROUP BY 1, 2",
];

/// Says how many rows there are, and how to look at them.
async fn look(store: &Store, file: &Path) -> anyhow::Result<()> {
    let counts = store.row_counts().await?;
    let rows = COUNTED.iter().map(|table| {
        let rows = counts.iter().find(|(name, _)| name == table).map_or(0, |(_, rows)| *rows);
        format!("{rows} {table}")
    });
    let rows = rows.collect::<Vec<_>>().join(", ");
    let done = news::counts(store).await?;
    let file = file.display();
    output::line(&format!("\n  {rows}\n  {done}"))?;
    for sql in LOOKS {
        output::line(&format!("  look: sqlite3 {file} \"{sql}\""))?;
    }
    output::line("")?;
    Ok(())
}
