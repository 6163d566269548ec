//! `cargo xtask bench ingest`: signed deliveries into the release build, on either store.
//!
//! For each store four lines: `start` (on an existing database), `idle`, `steady` (a fixed rate, open loop) and `saturated`
//! (as fast as it goes at a fixed concurrency, closed loop). The steady phase comes first, so that its memory figure is its own.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use billhook_testkit::{DurableDatabase, Server, ServerSettings, random, wait};

use super::database;
use super::load::{self, Load, Pace};
use super::report::{Line, Window};
use super::{disk, signed};
use crate::shell::{self, Flags};

/// The flags, for the usage message.
pub(super) const FLAGS: &str = "[--store postgres|sqlite|both] [--concurrency 64] [--seconds 60] [--rate 500] \
                                [--steady-seconds 20] [--binary path] [--json]

Without --binary the release is built and measured. --json leaves nothing but the JSON lines: no progress on stderr.";

/// Longest phase, in seconds: the signatures made before a phase must stay within the tolerance of 300 s.
const SECONDS_MAX: u64 = 240;
/// Most connections.
const CONCURRENCY_MAX: u64 = 4096;
/// Highest steady rate, in events per second.
const RATE_MAX: u64 = 50_000;
/// Events signed ahead for each second of a saturated phase; beyond this the client signs while it sends.
const SATURATED_SIGNED_PER_SECOND: u64 = 15_000;
/// Longest wait for the applier to finish after a phase, in seconds.
const DRAIN_SECONDS_MAX: u64 = 300;
/// How long the server is left alone before its idle memory is read, in seconds.
const IDLE_SECONDS: u64 = 2;

struct Settings {
    concurrency: u64,
    seconds: u64,
    rate: u64,
    steady_seconds: u64,
    stores: Vec<&'static str>,
    binary: Option<PathBuf>,
    quiet: bool,
}

impl Settings {
    fn parse(arguments: &[String]) -> Result<Self> {
        let flags = Flags::parse(
            arguments,
            &["store", "concurrency", "seconds", "rate", "steady-seconds", "binary"],
            &["json"],
        )?;
        let stores = database::stores(&flags)?;
        Ok(Self {
            concurrency: flags.number("concurrency", 64, 1..=CONCURRENCY_MAX)?,
            seconds: flags.number("seconds", 60, 1..=SECONDS_MAX)?,
            rate: flags.number("rate", 500, 1..=RATE_MAX)?,
            steady_seconds: flags.number("steady-seconds", 20, 1..=SECONDS_MAX)?,
            stores,
            binary: flags.text("binary").map(|path| shell::root().join(path)),
            quiet: flags.text("json").is_some(),
        })
    }

    fn binary(&self) -> Result<PathBuf> {
        if let Some(binary) = &self.binary {
            return Ok(binary.clone());
        }
        self.progress("building the release");
        shell::build_release()
    }

    fn progress(&self, text: &str) {
        if !self.quiet {
            eprintln!("{text}");
        }
    }
}

/// Runs the command with the arguments behind its name.
pub(super) fn run(arguments: &[String]) -> Result<()> {
    let settings = Settings::parse(arguments)?;
    let binary = settings.binary()?;
    let directory = tempfile::Builder::new().prefix("billhook-bench-").tempdir()?;
    let syncs = disk::syncs_per_second(directory.path())?;
    settings.progress(&format!("the disk does {syncs:.0} syncs of 4 KiB a second"));
    for &store in &settings.stores {
        let database = DurableDatabase::make(store)?;
        let program = ServerSettings::new(&binary, database.url())?;
        run_store(&settings, store, &program, syncs).with_context(|| format!("bench on {store}"))?;
    }
    Ok(())
}

fn run_store(settings: &Settings, store: &'static str, program: &ServerSettings, syncs: f64) -> Result<()> {
    let line = |phase| Line::new("ingest", store, syncs).named("phase", phase);
    settings.progress(&format!("{store}: making the schema"));
    let (status, _) = program.start()?.terminate()?;
    ensure!(status.success(), "the program ended with {status} after SIGTERM");
    let server = program.start()?;
    let start = server.start_time().unwrap_or_default();
    line("start").with("start_ms", start.as_secs_f64() * 1000.0, 1).print();
    std::thread::sleep(Duration::from_secs(IDLE_SECONDS));
    line("idle").with("idle_rss_mb", server.rss_kb()? as f64 / 1024.0, 1).print();

    settings.progress(&format!("{store}: {} events/s for {} s", settings.rate, settings.steady_seconds));
    let pace = Pace::Steady { per_second: settings.rate };
    run_phase(settings, &server, settings.steady_seconds, settings.rate, pace, line("steady"))?;

    settings.progress(&format!("{store}: as fast as it goes for {} s", settings.seconds));
    run_phase(settings, &server, settings.seconds, SATURATED_SIGNED_PER_SECOND, Pace::Saturated, line("saturated"))?;
    let (status, _) = server.terminate()?;
    ensure!(status.success(), "the program ended with {status} after SIGTERM");
    Ok(())
}

fn run_phase(
    settings: &Settings,
    server: &Server,
    seconds: u64,
    signed_per_second: u64,
    pace: Pace,
    line: Line,
) -> Result<()> {
    let load = Load {
        address: server.address(),
        connections: settings.concurrency as usize,
        duration: Duration::from_secs(seconds),
        pace,
        events: signed::sign_ahead(random::number(), seconds * signed_per_second),
    };
    let before = Window::read(server)?;
    let result = load::run(load)?;
    let after = Window::read(server)?;
    let drained = Instant::now();
    let drain = wait::until("the applier to finish", Duration::from_secs(DRAIN_SECONDS_MAX), || {
        let applied = Window::read(server).ok()?.applied() - before.applied();
        (applied >= result.acknowledged as f64).then(|| drained.elapsed())
    });
    let drain = drain.with_context(|| format!("{} acknowledged", result.acknowledged))?;
    line.with_phase(settings.concurrency, &result, &before, &after, drain).print();
    ensure!(result.failed == 0, "{} requests got no answer", result.failed);
    Ok(())
}
