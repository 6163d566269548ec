//! How fast native functions run on either store: `cargo xtask bench flow` builds and runs this.
//!
//! `--what queue` has two figures a store: runs a second with so many steps each, from a full queue; and, at 100 events a second, the
//! time from the commit of an event to the beginning of its first step. `--what nodes` compares three processes on one PostgreSQL with
//! one. `--what sleepers` lets a million runs sleep, measures what that costs, and wakes some of them. `--what noisy` lets one customer
//! flood a function and measures another one's starts. Every commit is on disk before
//! it counts. One JSON line each.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command talks to the person who called it")]

mod database;
mod functions;
mod node;
mod nodes;
mod noisy;
mod queue;
mod sleepers;

use anyhow::{Context as _, Result, bail};

const USAGE: &str = "flags: --what queue|nodes|sleepers|noisy|all --store postgres|sqlite|both --runs 20000 --steps 1,3 --seconds 10 \
                     --sleepers 1000000";

struct Settings {
    what: Vec<&'static str>,
    stores: Vec<&'static str>,
    runs: usize,
    steps: Vec<u32>,
    seconds: u32,
    sleepers: usize,
}

impl Settings {
    fn parse() -> Result<Self> {
        let mut settings = Self {
            what: vec!["queue"],
            stores: vec!["postgres", "sqlite"],
            runs: 20_000,
            steps: vec![1, 3],
            seconds: 10,
            sleepers: 1_000_000,
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(flag) = arguments.next() {
            let value = arguments.next().with_context(|| format!("{flag} needs a value; {USAGE}"))?;
            match (flag.as_str(), value.as_str()) {
                ("--what", "queue") => {}
                ("--what", "nodes") => settings.what = vec!["nodes"],
                ("--what", "sleepers") => settings.what = vec!["sleepers"],
                ("--what", "noisy") => settings.what = vec!["noisy"],
                ("--what", "all") => settings.what = vec!["queue", "nodes", "sleepers", "noisy"],
                ("--store", "postgres") => settings.stores = vec!["postgres"],
                ("--store", "sqlite") => settings.stores = vec!["sqlite"],
                ("--store", "both") => {}
                ("--runs", number) => settings.runs = number.parse()?,
                ("--steps", list) => settings.steps = list.split(',').map(str::parse).collect::<Result<_, _>>()?,
                ("--seconds", number) => settings.seconds = number.parse()?,
                ("--sleepers", number) => settings.sleepers = number.parse()?,
                _ => bail!("unknown flag {flag} {value}; {USAGE}"),
            }
        }
        Ok(settings)
    }
}

fn main() -> Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let arguments: Vec<String> = std::env::args().collect();
    if let [_, what, url, name, steps] = arguments.as_slice()
        && what == node::NODE
    {
        return runtime.block_on(node::serve(url, name, steps.parse()?));
    }
    let settings = Settings::parse()?;
    for what in &settings.what {
        for &steps in &settings.steps {
            runtime.block_on(measure(&settings, what, steps))?;
        }
    }
    Ok(())
}

async fn measure(settings: &Settings, what: &str, steps: u32) -> Result<()> {
    if what == "nodes" {
        nodes::measure(settings, steps).await?.iter().for_each(|line| println!("{line}"));
        return Ok(());
    }
    for store in &settings.stores {
        let line = match what {
            "sleepers" => sleepers::measure(settings, store, steps).await?,
            "noisy" => noisy::measure(settings, store, steps).await?,
            _ => queue::measure(settings, store, steps).await?,
        };
        println!("{line}");
    }
    Ok(())
}
