//! `billhook rebuild`: derives columns again from the raw data, beside running traffic.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use billhook_core::table::Table;
use billhook_mirror::rebuild::{Progress, rebuild};
use billhook_store::Store;
use billhook_stripe::catalogue;

use crate::failure::Hinted;
use crate::settings::configuration::Configuration;
use crate::{database, logging, output};

/// Between two lines of progress, in milliseconds.
const PROGRESS_INTERVAL_MS: u64 = 1_000;

/// What to rebuild.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The table, e.g. `customers`; all tables when it is left out
    table: Option<String>,
}

/// Rebuilds and says how much was rewritten.
pub fn run(arguments: &Arguments, configuration: &Configuration) -> anyhow::Result<ExitCode> {
    logging::start(&configuration.log);
    let tables: Vec<&'static Table> = match &arguments.table {
        Some(name) => vec![named(name)?],
        None => catalogue::tables().iter().collect(),
    };
    database::block_on(async {
        let store = database::open_current(configuration).await?;
        let rebuilt = all(&store, &tables).await;
        store.close().await;
        rebuilt
    })?;
    Ok(ExitCode::SUCCESS)
}

fn named(name: &str) -> anyhow::Result<&'static Table> {
    catalogue::table_named(name).ok_or_else(|| {
        let message = format!("there is no mirrored table {}", name.escape_debug());
        Hinted::new(message, "tables have plural names such as customers or checkout_sessions").into()
    })
}

async fn all(store: &Store, tables: &[&'static Table]) -> anyhow::Result<()> {
    let mut total = Progress::default();
    for table in tables {
        let mut line = ProgressLine::new(&table.name);
        let progress = rebuild(store, table, |progress| line.show(progress)).await;
        line.clear();
        let progress = progress.with_context(|| format!("rebuild {}", table.name))?;
        if progress.scanned > 0 {
            output::line(&format!("{}: {}", table.name, told(progress)))?;
        }
        total.scanned += progress.scanned;
        total.rewritten += progress.rewritten;
        total.unreadable += progress.unreadable;
    }
    if tables.len() > 1 || total.scanned == 0 {
        output::line(&format!("total: {}", told(total)))?;
    }
    Ok(())
}

fn told(progress: Progress) -> String {
    let mut text = format!("{} rows read, {} rewritten", progress.scanned, progress.rewritten);
    if progress.unreadable > 0 {
        text.push_str(&format!(", {} left alone because their raw data cannot be read", progress.unreadable));
    }
    text
}

/// A line on the terminal that shows how far a long rebuild is. Without a terminal nothing is shown.
struct ProgressLine<'a> {
    table: &'a str,
    is_terminal: bool,
    shown: Option<Instant>,
    started: Instant,
}

impl<'a> ProgressLine<'a> {
    fn new(table: &'a str) -> Self {
        Self { table, is_terminal: std::io::stderr().is_terminal(), shown: None, started: Instant::now() }
    }

    fn show(&mut self, progress: Progress) {
        let last = self.shown.unwrap_or(self.started);
        if self.is_terminal && last.elapsed() >= Duration::from_millis(PROGRESS_INTERVAL_MS) {
            self.shown = Some(Instant::now());
            self.write(&format!("\r\x1b[K{}: {} rows read", self.table, progress.scanned));
        }
    }

    fn clear(&mut self) {
        if self.shown.take().is_some() {
            self.write("\r\x1b[K");
        }
    }

    fn write(&self, text: &str) {
        // Progress is a courtesy; a closed terminal must not stop the work.
        let _ = std::io::stderr().lock().write_all(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_found_by_its_name() {
        assert_eq!(named("customers").unwrap().object, "customer");
        let error = named("customer\u{1b}").unwrap_err();
        assert_eq!(error.to_string(), "there is no mirrored table customer\\u{1b}");
    }

    #[test]
    fn rows_that_could_not_be_read_are_told() {
        let progress = Progress { scanned: 3, rewritten: 2, unreadable: 1 };
        assert_eq!(told(progress), "3 rows read, 2 rewritten, 1 left alone because their raw data cannot be read");
    }
}
