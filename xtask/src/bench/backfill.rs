//! `cargo xtask bench backfill`: histories of the simulated account into the release build, on either store.
//!
//! For each store: `customer` and `invoice` (with two lines each) without a rate limit, `limited` with Stripe's limits switched
//! on, and `catch_up` of events that nobody received. The simulator shares the machine, as does the database.

use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use billhook_simulator::{Options, RateLimits, Simulator};
use billhook_testkit::{DurableDatabase, ServerSettings, process, sql, wait};

use super::database;
use super::disk;
use super::report::Line;
use crate::shell::{self, Flags};

/// The flags, for the usage message.
pub(super) const FLAGS: &str =
    "[--store postgres|sqlite|both] [--customers 1000000] [--invoices 200000] [--events 100000] \
                                [--limited 60000] [--binary path]

Without --binary the release is built and measured. A count of 0 leaves that part out.";

/// Most objects of a kind: the simulator keeps them in memory, about 1.5 kB each.
const OBJECTS_MAX: u64 = 5_000_000;
/// The account's key.
const KEY: &str = "sk_test_0123456789abcdefghij";
/// Stripe's documented limits in test mode: requests a second in all, and to one endpoint.
const STRIPE_LIMITS: RateLimits = RateLimits { global: 25, endpoint: 25 };
/// How far the event cursor lies back when catch-up begins, in seconds: the simulator spreads missed events over 20 days.
const MISSED_SECONDS: i64 = 21 * 86_400;
/// Longest wait for a phase, in seconds.
const PHASE_SECONDS_MAX: u64 = 1_800;
/// Between two looks at the program's memory, in milliseconds.
const LOOK_MILLISECONDS: u64 = 50;

struct Settings {
    customers: u64,
    invoices: u64,
    events: u64,
    limited: u64,
    stores: Vec<&'static str>,
    binary: Option<PathBuf>,
}

/// Runs the command with the arguments behind its name.
pub(super) fn run(arguments: &[String]) -> Result<()> {
    let flags = Flags::parse(arguments, &["store", "customers", "invoices", "events", "limited", "binary"], &[])?;
    let settings = Settings {
        customers: flags.number("customers", 1_000_000, 0..=OBJECTS_MAX)?,
        invoices: flags.number("invoices", 200_000, 0..=OBJECTS_MAX)?,
        events: flags.number("events", 100_000, 0..=OBJECTS_MAX)?,
        limited: flags.number("limited", 60_000, 0..=OBJECTS_MAX)?,
        stores: database::stores(&flags)?,
        binary: flags.text("binary").map(|path| shell::root().join(path)),
    };
    let binary = match &settings.binary {
        Some(binary) => binary.clone(),
        None => shell::build_release()?,
    };
    let syncs = disk::syncs_per_second(&std::env::temp_dir())?;
    for &store in &settings.stores {
        run_store(&settings, store, &binary, syncs).with_context(|| format!("bench on {store}"))?;
    }
    Ok(())
}

fn run_store(settings: &Settings, store: &'static str, binary: &Path, syncs: f64) -> Result<()> {
    for (object, count) in [("customer", settings.customers), ("invoice", settings.invoices)] {
        if count > 0 {
            unlimited(store, object, count, binary, syncs)?;
        }
    }
    if settings.limited > 0 {
        limited(store, settings.limited, binary, syncs)?;
    }
    if settings.events > 0 {
        catch_up(store, settings.events, binary, syncs)?;
    }
    Ok(())
}

fn simulator(object: &str, count: u64) -> Result<Simulator> {
    let simulator = Simulator::start(Options { key: KEY.to_owned(), ..Options::default() })?;
    eprintln!("filling {count} of {object}");
    let count = usize::try_from(count)?;
    simulator.account(|account| match object {
        "customer" => account.fill_customers(count),
        "invoice" => account.fill_invoices(count, 2),
        _ => account.fill_events(count),
    });
    Ok(simulator)
}

fn program(
    binary: &Path,
    database: &DurableDatabase,
    simulator: &Simulator,
    per_second: u32,
) -> Result<ServerSettings> {
    Ok(ServerSettings::new(binary, database.url())?
        .set("STRIPE_SECRET_KEY", KEY)
        .set("STRIPE_API_BASE", &simulator.base_url())
        .set("BILLHOOK_STRIPE_REQUESTS_PER_SECOND", &per_second.to_string())
        .set("BILLHOOK_STRIPE_BACKFILL_RELATED_ENTITIES", "false")
        .set("BILLHOOK_RECONCILE_PERIOD_SECONDS", "0"))
}

/// What a command used up.
struct Used {
    elapsed: Duration,
    peak_rss_mb: f64,
    /// Resident memory at a quarter of the time, to be compared with the peak: flat or growing.
    early_rss_mb: f64,
    cpu_seconds: f64,
}

/// Runs a command to its end and watches its memory.
fn watched(program: &ServerSettings, arguments: &[&str]) -> Result<Used> {
    let mut command = program.command(arguments);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().context("start the program")?;
    let started = Instant::now();
    let mut samples: Vec<u64> = Vec::new();
    let (mut peak_kb, mut cpu_seconds) = (0, 0.0);
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        ensure!(started.elapsed() < Duration::from_secs(PHASE_SECONDS_MAX), end(&mut child));
        // The process may end between two looks.
        samples.extend(process::rss_kilobytes(child.id()));
        peak_kb = process::peak_rss_kilobytes(child.id()).unwrap_or(peak_kb);
        cpu_seconds = process::cpu_seconds(child.id()).unwrap_or(cpu_seconds);
        std::thread::sleep(Duration::from_millis(LOOK_MILLISECONDS));
    };
    ensure!(status.success(), "{arguments:?} ended with {status}");
    let early = samples.get(samples.len() / 4).copied().unwrap_or(0);
    let mb = |kb: u64| kb as f64 / 1024.0;
    Ok(Used { elapsed: started.elapsed(), peak_rss_mb: mb(peak_kb), early_rss_mb: mb(early), cpu_seconds })
}

fn end(child: &mut Child) -> String {
    // It is given up either way.
    let _ = child.kill();
    format!("the program did not finish within {PHASE_SECONDS_MAX} s")
}

fn unlimited(store: &'static str, object: &str, count: u64, binary: &Path, syncs: f64) -> Result<()> {
    let (database, simulator) = (DurableDatabase::make(store)?, simulator(object, count)?);
    let program = program(binary, &database, &simulator, 100_000)?;
    watched(&program, &["migrate"])?;
    let used = watched(&program, &["backfill", object, "--json"])?;
    let table = sql::mirror_table(database.url(), &format!("{object}s"));
    let rows = sql::number(database.url(), &format!("SELECT count(*) FROM {table}"))?;
    ensure!(rows == i64::try_from(count)?, "{rows} rows for {count} objects");
    if object == "invoice" {
        let lines = sql::mirror_table(database.url(), "invoice_line_items");
        let rows = sql::number(database.url(), &format!("SELECT count(*) FROM {lines}"))?;
        ensure!(rows == 2 * i64::try_from(count)?, "{rows} lines for {count} invoices");
    }
    let seconds = used.elapsed.as_secs_f64();
    Line::new("backfill", store, syncs)
        .named("object", object)
        .with("objects", count as f64, 0)
        .with("seconds", seconds, 1)
        .with("objects_per_s", count as f64 / seconds, 0)
        .with("cpu_us_per_object", used.cpu_seconds * 1e6 / count as f64, 1)
        .with("early_rss_mb", used.early_rss_mb, 1)
        .with("peak_rss_mb", used.peak_rss_mb, 1)
        .print();
    Ok(())
}

/// With Stripe's limits, and a configured rate above them: the client has to find the limit.
fn limited(store: &'static str, count: u64, binary: &Path, syncs: f64) -> Result<()> {
    const CONFIGURED: u32 = 50;
    let (database, simulator) = (DurableDatabase::make(store)?, simulator("customer", count)?);
    let program = program(binary, &database, &simulator, CONFIGURED)?;
    watched(&program, &["migrate"])?;
    simulator.set_limits(Some(STRIPE_LIMITS));
    let used = watched(&program, &["backfill", "customer", "--json"])?;
    let oracle = simulator.oracle();
    let allowed_seconds = count.div_ceil(100) as f64 / f64::from(STRIPE_LIMITS.endpoint);
    Line::new("backfill", store, syncs)
        .named("object", "limited")
        .with("objects", count as f64, 0)
        .with("objects_per_s", count as f64 / used.elapsed.as_secs_f64(), 0)
        .with("time_over_optimum", used.elapsed.as_secs_f64() / allowed_seconds, 2)
        .with("requests_over_optimum", oracle.requests_total() as f64 / count.div_ceil(100) as f64, 2)
        .with("busiest_second", oracle.busiest_second("") as f64, 0)
        .with("configured_per_s", f64::from(CONFIGURED), 0)
        .with("peak_rss_mb", used.peak_rss_mb, 1)
        .print();
    Ok(())
}

fn catch_up(store: &'static str, count: u64, binary: &Path, syncs: f64) -> Result<()> {
    let (database, simulator) = (DurableDatabase::make(store)?, simulator("missed events", count)?);
    let program = program(binary, &database, &simulator, 100_000)?;
    watched(&program, &["migrate"])?;
    let settings = sql::own_table(database.url(), "settings");
    let since = simulator.account(|account| account.now()) - MISSED_SECONDS;
    sql::execute(database.url(), &format!("INSERT INTO {settings} (key, value) VALUES ('events_cursor', '{since}')"))?;
    let events = simulator.oracle().events().len();
    let server = program.start()?;
    let started = Instant::now();
    let (inbox, pending) = (sql::own_table(database.url(), "inbox"), sql::own_table(database.url(), "pending"));
    let reached = |query: &str, wanted: i64| {
        let limit = Duration::from_secs(PHASE_SECONDS_MAX);
        wait::until(query, limit, || {
            // Counting costs the database something, so it is done rarely.
            std::thread::sleep(Duration::from_millis(LOOK_MILLISECONDS));
            (sql::number(database.url(), query).ok()? == wanted).then(|| started.elapsed())
        })
    };
    let stored = reached(&format!("SELECT count(*) FROM {inbox}"), i64::try_from(events)?)?;
    let applied = reached(&format!("SELECT count(*) FROM {pending}"), 0)?;
    let Ok(peak_kb) = server.peak_rss_kb() else { bail!("the program ended:\n{}", server.log()) };
    Line::new("backfill", store, syncs)
        .named("object", "catch_up")
        .with("objects", events as f64, 0)
        .with("objects_per_s", events as f64 / stored.as_secs_f64(), 0)
        .with("applied_per_s", events as f64 / applied.as_secs_f64(), 0)
        .with("peak_rss_mb", peak_kb as f64 / 1024.0, 1)
        .print();
    Ok(())
}
