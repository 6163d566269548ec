//! `billhook doctor`: checks what a server needs, and says what to do.

mod database;
mod machine;
mod secrets;

use std::process::ExitCode;

use serde::Serialize;

use crate::failure::FAILED;
use crate::settings::Resolution;
use crate::settings::configuration::Configuration;
use crate::{logging, output};

/// How to report.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// How a check ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// As it should be.
    Ok,
    /// Works, and deserves a look.
    Warn,
    /// Does not work.
    Fail,
}

/// What a check found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    level: Level,
    what: String,
    /// What to do; empty when nothing is.
    action: String,
}

/// All findings, in the order of the checks.
#[derive(Debug, Default)]
pub struct Findings(Vec<Finding>);

impl Findings {
    /// As it should be.
    pub fn ok(&mut self, what: impl Into<String>) {
        self.0.push(Finding { level: Level::Ok, what: what.into(), action: String::new() });
    }

    /// Works, and deserves a look.
    pub fn warn(&mut self, what: impl Into<String>, action: impl Into<String>) {
        self.0.push(Finding { level: Level::Warn, what: what.into(), action: action.into() });
    }

    /// Does not work.
    pub fn fail(&mut self, what: impl Into<String>, action: impl Into<String>) {
        self.0.push(Finding { level: Level::Fail, what: what.into(), action: action.into() });
    }
}

/// Checks everything.
pub fn run(arguments: &Arguments, resolution: &Resolution) -> anyhow::Result<ExitCode> {
    let mut findings = Findings::default();
    for warning in &resolution.warnings {
        findings.warn(warning, "correct the name or remove the variable");
    }
    match Configuration::check(resolution) {
        Ok(configuration) => {
            logging::start(&configuration.log);
            findings.ok("the settings are valid");
            secrets::check(&configuration, &mut findings);
            machine::check(&configuration, &mut findings);
            crate::database::block_on(async {
                database::check(&configuration, &mut findings).await;
                Ok(())
            })?;
        }
        Err(refusals) => {
            for refusal in refusals {
                findings.fail(refusal.what(), refusal.action());
            }
        }
    }
    print(arguments, &findings.0)?;
    let failed = findings.0.iter().any(|finding| finding.level == Level::Fail);
    Ok(if failed { ExitCode::from(FAILED) } else { ExitCode::SUCCESS })
}

fn print(arguments: &Arguments, findings: &[Finding]) -> anyhow::Result<()> {
    if arguments.json {
        output::json(&findings)?;
        return Ok(());
    }
    for finding in findings {
        output::line(&told(finding))?;
    }
    Ok(())
}

fn told(finding: &Finding) -> String {
    let level = match finding.level {
        Level::Ok => "ok",
        Level::Warn => "warn",
        Level::Fail => "FAIL",
    };
    let what = output::printable(&billhook_core::redact::redact(&finding.what));
    let line = format!("{level:<6}{what}");
    if finding.action.is_empty() { line } else { format!("{line}  ->  {}", output::printable(&finding.action)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_is_one_line() {
        let mut findings = Findings::default();
        findings.ok("fine");
        findings.fail("broken\nbadly", "repair it");
        let lines: Vec<String> = findings.0.iter().map(told).collect();
        assert_eq!(lines, ["ok    fine", "FAIL  broken\u{FFFD}badly  ->  repair it"]);
    }
}
