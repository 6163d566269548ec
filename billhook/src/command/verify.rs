//! `billhook verify`: compares every row with Stripe, and changes nothing.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context as _;
use billhook_core::metrics::Metrics;
use billhook_mirror::equal::verify::{DifferenceKind, KindState, REST_LEAST, Report, Step, VerifyOptions, verify};
use billhook_mirror::sync::names;

use crate::failure::{FAILED, Hinted};
use crate::output::{self, Listing};
use crate::settings::configuration::Configuration;
use crate::{database, logging, stripe_api};

/// What to compare.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Kinds or tables; everything that can be listed when left out
    #[arg(value_name = "OBJECT")]
    objects: Vec<String>,
    /// Show the values that differ; they may be personal data
    #[arg(long)]
    values: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Compares and reports.
pub fn run(arguments: &Arguments, configuration: &Configuration) -> anyhow::Result<ExitCode> {
    logging::start_quiet(&configuration.log);
    let mut targets = Vec::new();
    for name in &arguments.objects {
        targets.extend(names::resolve(name).map_err(|error| {
            Hinted::new(error.to_string(), "kinds are singular as in Stripe's JSON (customer, checkout.session)")
        })?);
    }
    if arguments.objects.is_empty() {
        targets = names::everything();
    }
    let options = VerifyOptions {
        targets,
        account: configuration.stripe.account.clone().unwrap_or_default(),
        values: arguments.values,
        rest: REST_LEAST,
    };
    let report = database::block_on(async {
        let api = stripe_api::required(configuration, Arc::new(Metrics::new()))?;
        let store = database::open_current(configuration).await?;
        let mut line = Line { is_terminal: std::io::stderr().is_terminal(), shown: false };
        let report = verify(&store, &api, &options, |step| line.show(step)).await.context("compare with Stripe");
        line.clear();
        store.close().await;
        report
    })?;
    if arguments.json {
        output::json(&report)?
    } else {
        told(&report)?
    }
    Ok(if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::from(FAILED) })
}

fn told(report: &Report) -> anyhow::Result<()> {
    let mut listing = Listing::new(&["OBJECT", "ID", "DIFFERENCE", "PROPERTIES"]);
    let mut differences = 0;
    for difference in report.differences() {
        differences += 1;
        let properties = difference.properties.iter().map(|property| match (&property.stored, &property.stripe) {
            (None, None) => property.name.clone(),
            (stored, stripe) => {
                let shown = |value: &Option<String>| value.clone().unwrap_or_else(|| "nothing".to_owned());
                format!("{} (here {}, at Stripe {})", property.name, shown(stored), shown(stripe))
            }
        });
        let properties = properties.collect::<Vec<_>>().join(", ");
        let kind = match difference.kind {
            DifferenceKind::Missing => "Stripe has it, the mirror does not",
            DifferenceKind::Extra => "the mirror has it, Stripe does not",
            DifferenceKind::Different => "different",
        };
        listing.add([difference.object.to_owned(), difference.id.clone(), kind.to_owned(), properties]);
    }
    if differences > 0 {
        listing.print()?;
    }
    for kind in &report.kinds {
        match kind.state {
            KindState::Checked => {}
            // Most accounts lack most of Stripe's products.
            KindState::NotAvailable => {}
            KindState::NoPermission => output::line(&format!("{}: the key may not read it", kind.object))?,
            KindState::Failed => output::line(&format!("{}: {}", kind.object, output::printable(&kind.message)))?,
        }
        if kind.unexamined > 0 {
            let more = "more differ; `billhook backfill` repairs them";
            output::line(&format!("{}: {} {more}", kind.object, kind.unexamined))?;
        }
        if kind.unproved > 0 {
            let what = "could not be read on their own, so they are not counted";
            output::line(&format!("{}: {} {what}", kind.object, kind.unproved))?;
        }
    }
    output::line(&format!("{} objects compared, {differences} differences", report.objects()))?;
    Ok(())
}

/// A line on the terminal that shows how far a long comparison is. Without a terminal nothing is shown.
struct Line {
    is_terminal: bool,
    shown: bool,
}

impl Line {
    fn show(&mut self, step: Step) {
        if !self.is_terminal {
            return;
        }
        let text = match step {
            Step::Compared { object, objects } => format!("{object}: {objects} compared"),
            Step::Checking { suspects: 0, .. } => return,
            Step::Checking { object, suspects } => format!("{object}: looking once more at {suspects}"),
        };
        self.shown = true;
        // Progress is a courtesy; a closed terminal must not stop the work.
        let _ = write!(std::io::stderr().lock(), "\r\x1b[K{text}");
    }

    fn clear(&self) {
        if self.shown {
            let _ = write!(std::io::stderr().lock(), "\r\x1b[K");
        }
    }
}
