//! `billhook migrate`: brings the schema up to this program.

use std::process::ExitCode;

use anyhow::Context as _;
use billhook_store::{MigrationReport, Role};

use crate::settings::configuration::Configuration;
use crate::{database, logging, output};

/// Migrates and says what was done.
pub fn run(configuration: &Configuration) -> anyhow::Result<ExitCode> {
    logging::start(&configuration.log);
    let report = database::block_on(async {
        let store = database::open(configuration, Role::Tool).await?;
        let migrated = async {
            let mut report = store.migrate().await.with_context(|| format!("migrate {}", configuration.database))?;
            report.applied.extend(database::migrate_billing(configuration, &store).await?);
            Ok(report)
        };
        let report = migrated.await;
        store.close().await;
        report
    })?;
    for line in lines(&report) {
        output::line(&line)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn lines(report: &MigrationReport) -> Vec<String> {
    let mut lines: Vec<String> = report.applied.iter().map(|name| format!("applied {name}")).collect();
    match (report.tables_created, report.columns_added) {
        (0, 0) if lines.is_empty() => lines.push("the schema is current".to_owned()),
        (tables, columns) => lines.push(format!("{tables} tables made, {columns} columns added")),
    }
    lines.extend(report.notes.iter().map(|note| format!("note: {note}")));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_current_schema_is_said_to_be_current() {
        assert_eq!(lines(&MigrationReport::default()), ["the schema is current"]);
    }

    #[test]
    fn what_was_done_is_listed() {
        let report = MigrationReport {
            applied: vec!["0001_inbox".to_owned()],
            tables_created: 3,
            columns_added: 0,
            notes: vec!["prices.unit_amount was widened".to_owned()],
        };
        assert_eq!(
            lines(&report),
            ["applied 0001_inbox", "3 tables made, 0 columns added", "note: prices.unit_amount was widened"]
        );
    }
}
