//! `billhook serve`: takes deliveries from Stripe and keeps the mirror current.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use billhook_core::metrics::Metrics;
use billhook_core::{Clock, Secret, SystemClock};
use billhook_flow::Functions;
use billhook_flow::engine::Engine;
use billhook_flow::test_clock::ClockControl;
use billhook_mirror::endpoints::{all_secrets, follow};
use billhook_mirror::equal::Parts;
use billhook_mirror::housekeeping::{self, HousekeepingOptions};
use billhook_mirror::{Applier, ApplierOptions, Ingest, IngestOptions};
use billhook_store::{Role, Store};
use billhook_stripe::api::OnKeyRefused;
use billhook_web::{EventIntake, StripeReads};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::time::timeout;

use super::configuration;
use crate::failure::{FAILED, Hinted, Refused};
use crate::functions::{FunctionClock, HeldClock, Hosted, MirrorEnricher};
use crate::reading::{Reading, read_policy};
use crate::settings::Resolution;
use crate::settings::configuration::{Configuration, Mode, Transport};
use crate::settings::origin::Refusal;
use crate::{database, local_secret, logging, output, process, signals, stripe_api};

/// How long open requests may finish after the signal to stop, in milliseconds.
const DRAIN_DEADLINE_MS: u64 = 6_000;

/// How long what is committed or being applied may finish after that, in milliseconds. Together with the drain it is less than
/// the 10 s after which supervisors kill.
const CLOSE_DEADLINE_MS: u64 = 3_500;

/// How to serve.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Check the settings and exit without opening anything
    #[arg(long)]
    check: bool,
}

/// Serves until a signal asks to stop.
pub fn run(arguments: &Arguments, resolution: &Resolution, functions: Functions<()>) -> anyhow::Result<ExitCode> {
    let configuration = configuration(resolution)?;
    require_secret(&configuration)?;
    if arguments.check {
        output::line("the settings are valid")?;
        return Ok(ExitCode::SUCCESS);
    }
    logging::start(&configuration.log);
    for warning in &resolution.warnings {
        tracing::warn!("{warning}");
    }
    if configuration.transport() == Transport::MaybeClear {
        tracing::warn!("the connection to the remote database may be in the clear; use sslmode=verify-full in its URL");
    }
    process::forbid_dumps();
    process::end_on_panic();
    process::raise_descriptors(configuration.http.connections_max);
    database::block_on(serve(&configuration, functions, None))
}

/// Refuses to start without a webhook secret where none can be made.
fn require_secret(configuration: &Configuration) -> Result<(), Refused> {
    let stripe = &configuration.stripe;
    // With an API key the secrets may be those of endpoints that Billhook made itself; they are in the database.
    if !stripe.webhook_secrets.is_empty() || stripe.key.is_some() || configuration.local_secret_file().is_some() {
        return Ok(());
    }
    let action = "set the endpoint's signing secret (whsec_…), or an API key and public_url; only SQLite on a loopback \
                  address can do without";
    Err(Refused(vec![Refusal::of_combination("STRIPE_WEBHOOK_SECRET", "is not set", action)]))
}

/// Serves until a signal asks to stop. Functions sleep by `clock`, or by the one that the settings want.
///
/// # Errors
/// When the database, an address, a setting or a function does not allow it.
pub(super) async fn serve(
    configuration: &Configuration,
    functions: Functions<()>,
    clock: Option<FunctionClock>,
) -> anyhow::Result<ExitCode> {
    let hosted = Hosted::new(functions, configuration)?;
    let stopped = signals::listen().context("listen for signals")?;
    let store = database::open(configuration, Role::Server).await?;
    database::prepare(configuration, &store).await?;
    let (clock, held) = function_clock(configuration, &store, clock, hosted.is_some()).await?;
    let hosted = hosted.map(|hosted| (hosted, clock));
    let configured = secrets(configuration)?;
    let secrets = all_secrets(&store, &configured).await.context("read the secrets of webhook endpoints")?;
    if secrets.is_empty() && configuration.public_url.is_none() {
        tracing::warn!("no webhook secret is known, so every delivery is refused; run `billhook webhooks create`");
    }
    let listeners = Listeners::bind(configuration).await?;
    let mirror = Mirror::start(configuration, &store, configured, secrets, hosted, held.as_ref())?;
    listeners.announce(configuration);
    let served = listeners.serve(configuration, &mirror, &store, stopped).await;
    let closing = async {
        mirror.stop().await;
        if let Some(held) = held {
            held.give_back().await;
        }
        store.close().await;
    };
    let closed = timeout(Duration::from_millis(CLOSE_DEADLINE_MS), closing).await;
    served?;
    if closed.is_err() {
        tracing::warn!("the database did not finish in time; what was acknowledged is applied at the next start");
        return Ok(ExitCode::from(FAILED));
    }
    tracing::info!("stopped");
    Ok(ExitCode::SUCCESS)
}

/// The clock of functions, and the lease on it when it may be moved. Where no function is executed nothing goes by it.
async fn function_clock(
    configuration: &Configuration,
    store: &Store,
    clock: Option<FunctionClock>,
    has_functions: bool,
) -> anyhow::Result<(FunctionClock, Option<HeldClock>)> {
    if let Some(clock) = clock {
        return Ok((clock, None));
    }
    if configuration.test_clock && has_functions {
        let held = HeldClock::take(store).await?;
        return Ok((FunctionClock::test(Arc::clone(held.clock())), Some(held)));
    }
    if has_functions {
        HeldClock::refuse_frozen(store).await?;
    }
    Ok((FunctionClock::system(), None))
}

/// The webhook secrets, a locally made one when none is configured.
fn secrets(configuration: &Configuration) -> anyhow::Result<Vec<Secret>> {
    let configured = &configuration.stripe.webhook_secrets;
    match configuration.local_secret_file() {
        Some(file) if configured.is_empty() => {
            let (secret, made) = local_secret::read_or_make(&file)?;
            let file = file.display();
            let what = if made { "made a local webhook secret" } else { "using the local webhook secret" };
            tracing::warn!(%file, "{what}, since STRIPE_WEBHOOK_SECRET is not set; try `billhook events send-test`");
            Ok(vec![secret])
        }
        _ => Ok(configured.clone()),
    }
}

/// What runs behind the HTTP server.
struct Mirror {
    ingest: Ingest,
    applier: Applier,
    engine: Option<Engine>,
    events: EventIntake,
    test_clock: Option<ClockControl>,
    reading: Option<Reading>,
    housekeeping: tokio::task::JoinHandle<()>,
    secrets: tokio::task::JoinHandle<()>,
    clock: Arc<dyn Clock>,
    metrics: Arc<Metrics>,
}

impl Mirror {
    /// `configured` are the secrets of the settings, `secrets` those and the ones of managed endpoints.
    fn start(
        configuration: &Configuration,
        store: &Store,
        configured: Vec<Secret>,
        secrets: Vec<Secret>,
        hosted: Option<(Hosted, FunctionClock)>,
        held: Option<&HeldClock>,
    ) -> anyhow::Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let metrics = Arc::new(Metrics::new());
        let api = stripe_api::client(configuration, OnKeyRefused::Wait, Arc::clone(&metrics))?;
        let account = configuration.stripe.account.clone().unwrap_or_default();
        let enrich = Arc::new(MirrorEnricher::new(store.clone(), api.clone(), account));
        // Without an engine of its own, the program leaves events to one of another process.
        let mut events = EventIntake { clock: Arc::clone(&clock), written: hint_others(store) };
        let hosted = hosted.map(|(hosted, clock)| {
            let engine = hosted.start(enrich, store, &clock);
            let router = hosted.router(&clock, engine.waker());
            let waker = engine.waker();
            events = EventIntake { clock: Arc::clone(clock.clock()), written: Arc::new(move || waker.sent()) };
            (engine, router)
        });
        let (engine, router): (Option<Engine>, _) = hosted.unzip();
        let test_clock = engine
            .as_ref()
            .zip(held)
            .map(|(engine, held)| ClockControl::new(Arc::clone(held.clock()), store.clone(), engine.settle()));
        let options = ApplierOptions { router, ..applier_options(configuration) };
        let applier = Applier::start(options, store.clone(), Arc::clone(&clock), Arc::clone(&metrics));
        let ingest = Ingest::start(
            ingest_options(configuration, secrets),
            store.clone(),
            applier.clone(),
            Arc::clone(&clock),
            Arc::clone(&metrics),
        );
        let housekeeping = tokio::spawn(housekeeping::run(
            HousekeepingOptions { retention_days: configuration.retention_days },
            store.clone(),
            ingest.clone(),
            Arc::clone(&clock),
            Arc::clone(&metrics),
        ));
        let reading = api.map(|api| {
            let (store, applier) = (store.clone(), applier.clone());
            let parts = Parts { store, api, applier, clock: Arc::clone(&clock), metrics: Arc::clone(&metrics) };
            Reading::start(configuration, parts)
        });
        let secrets = tokio::spawn(follow(store.clone(), ingest.clone(), configured));
        Ok(Self { ingest, applier, engine, events, test_clock, reading, housekeeping, secrets, clock, metrics })
    }

    /// Commits what waits, then lets the transactions in flight end.
    async fn stop(self) {
        self.housekeeping.abort();
        self.secrets.abort();
        if let Some(reading) = self.reading {
            reading.stop().await;
        }
        if let Some(engine) = self.engine {
            engine.stop().await;
        }
        self.ingest.stop().await;
        self.applier.stop().await;
    }
}

/// Tells engines of other processes of events that were written. Nobody has to wait for it.
fn hint_others(store: &Store) -> Arc<dyn Fn() + Send + Sync> {
    let store = store.clone();
    Arc::new(move || {
        let store = store.clone();
        tokio::spawn(async move { store.hint_flow_runs().await });
    })
}

fn applier_options(configuration: &Configuration) -> ApplierOptions {
    ApplierOptions {
        lanes: configuration.apply.lanes,
        batch_deliveries_max: configuration.apply.batch_deliveries_max,
        memory_bytes_max: configuration.apply.memory_bytes_max,
        livemode: configuration.stripe.mode.map(|mode| mode == Mode::Live),
        account: configuration.stripe.account.clone().unwrap_or_default(),
        reads: configuration.stripe.key.as_ref().map(|_key| Arc::new(read_policy(configuration))),
        router: None,
    }
}

fn ingest_options(configuration: &Configuration, secrets: Vec<Secret>) -> IngestOptions {
    let ingest = &configuration.ingest;
    IngestOptions {
        secrets,
        tolerance_seconds: i64::from(ingest.tolerance_seconds),
        queue_deliveries_max: ingest.queue_deliveries_max,
        queue_bytes_max: ingest.queue_bytes_max,
        batch_deliveries_max: ingest.batch_deliveries_max,
        deadline_ms: ingest.deadline_ms,
        lag_seconds_max: ingest.lag_seconds_max,
    }
}

/// The sockets.
struct Listeners {
    main: TcpListener,
    metrics: Option<TcpListener>,
}

impl Listeners {
    async fn bind(configuration: &Configuration) -> anyhow::Result<Self> {
        let metrics = match configuration.metrics_listen {
            Some(address) => Some(bind(address).await?),
            None => None,
        };
        Ok(Self { main: bind(configuration.listen).await?, metrics })
    }

    fn announce(&self, configuration: &Configuration) {
        let database = &configuration.database;
        let address = self.main.local_addr().unwrap_or(configuration.listen);
        tracing::info!(%address, %database, "listening");
        if let Some(address) = self.metrics.as_ref().and_then(|listener| listener.local_addr().ok()) {
            tracing::info!(%address, "metrics are served on an address of their own");
        }
    }

    /// Serves until the signal to stop, then until open requests have finished.
    async fn serve(
        self,
        configuration: &Configuration,
        mirror: &Mirror,
        store: &Store,
        stopped: watch::Receiver<bool>,
    ) -> anyhow::Result<()> {
        let limits = limits(configuration);
        let state = billhook_web::State {
            ingest: mirror.ingest.clone(),
            store: store.clone(),
            flow: Some(store.clone()),
            events: Some(mirror.events.clone()),
            test_clock: mirror.test_clock.clone(),
            event_key: configuration.event_key.clone(),
            reads: StripeReads {
                store: store.clone(),
                stripe: mirror.reading.as_ref().map(|reading| reading.stripe.clone()),
                clock: Arc::clone(&mirror.clock),
                related: configuration.stripe.backfill_related_entities,
            },
            metrics: Arc::clone(&mirror.metrics),
            clock: Arc::clone(&mirror.clock),
            api_key: configuration.api_key.clone(),
            metrics_open: configuration.is_loopback(),
        };
        let main = billhook_web::serve(self.main, state.clone(), limits, signals::stopped(stopped.clone()));
        let metrics = async {
            match self.metrics {
                Some(listener) => billhook_web::serve_metrics(listener, state, limits, signals::stopped(stopped)).await,
                None => Ok(()),
            }
        };
        tokio::try_join!(main, metrics).context("serve HTTP")?;
        Ok(())
    }
}

async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| {
        let hint = match error.kind() {
            std::io::ErrorKind::AddrInUse => {
                "another program listens there; stop it, or choose another port with --listen"
            }
            std::io::ErrorKind::PermissionDenied => {
                "ports below 1024 need a privilege; choose a greater one with --listen"
            }
            _ => "choose an address of this machine with --listen",
        };
        Hinted::new(format!("listen on {address}: {error}"), hint).into()
    })
}

fn limits(configuration: &Configuration) -> billhook_web::Limits {
    let http = &configuration.http;
    billhook_web::Limits {
        connections_max: http.connections_max,
        connections_per_address_max: http.connections_per_address_max,
        header_deadline_ms: http.header_deadline_ms,
        idle_deadline_ms: http.idle_deadline_ms,
        body_deadline_ms: http.body_deadline_ms,
        body_bytes_max: configuration.ingest.body_bytes_max,
        bodies_bytes_max: http.bodies_bytes_max,
        shutdown_deadline_ms: DRAIN_DEADLINE_MS,
        ..billhook_web::Limits::default()
    }
}
