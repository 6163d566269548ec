//! Verifying: every object that Stripe lists is compared with its row, and every row with Stripe. Nothing is written.
//!
//! While it runs, both sides change. So a difference is only a suspicion at first: its object is read on its own, its row after
//! that, and only what differs again and again is reported.

mod recheck;
mod report;
mod survey;

use std::time::Duration;

use billhook_store::Store;
use billhook_stripe::api::{Api, Class};

pub use report::{Difference, DifferenceKind, KindReport, KindState, PropertyDifference, Report};

use super::error::EqualError;
use crate::sync::names::Target;
use crate::sync::{ApiSource, SourceOptions};
use survey::Survey;

/// Differences of one kind that are looked into and listed. More mean that the kind was never read: a backfill tells more then.
pub const DIFFERENCES_MAX: usize = 10_000;

/// What to verify, and how.
#[derive(Debug, Clone)]
pub struct VerifyOptions {
    /// The kinds, see [`crate::sync::names`].
    pub targets: Vec<Target>,
    /// The account of this installation; empty when it is not configured.
    pub account: String,
    /// Whether differences show the values of both sides. They may be personal data.
    pub values: bool,
    /// How long an object rests between its own read and that of its row: the time that an event may take. At least
    /// [`REST_LEAST`].
    pub rest: Duration,
}

/// The least time between reading an object again and reading its row again.
pub const REST_LEAST: Duration = Duration::from_secs(2);

/// How far verifying is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// So many objects of a kind were compared.
    Compared {
        /// The kind.
        object: &'static str,
        /// Objects so far.
        objects: u64,
    },
    /// So many suspicions of a kind are being looked into.
    Checking {
        /// The kind.
        object: &'static str,
        /// Objects that seem to differ.
        suspects: usize,
    },
}

/// Compares the mirror with Stripe; `progress` hears after every page.
///
/// # Errors
/// When the database does not answer, or Stripe refuses the key. A kind whose list cannot be read is no error but reported as such.
pub async fn verify(
    store: &Store,
    api: &Api,
    options: &VerifyOptions,
    mut progress: impl FnMut(Step),
) -> Result<Report, EqualError> {
    let source = SourceOptions { account: options.account.clone(), class: Class::Backfill, ..SourceOptions::default() };
    let source = ApiSource::new(api.clone(), store.clone(), source);
    let mut report = Report::default();
    for target in &options.targets {
        report.kinds.extend(one(store, api, &source, options, *target, &mut progress).await?);
    }
    Ok(report)
}

/// Verifies one kind; `None` when it has no table.
async fn one(
    store: &Store,
    api: &Api,
    source: &ApiSource,
    options: &VerifyOptions,
    target: Target,
    progress: &mut impl FnMut(Step),
) -> Result<Option<KindReport>, EqualError> {
    let Some(survey) = Survey::new(store, api, options, target) else { return Ok(None) };
    let (object, table) = (survey.object(), survey.table());
    let surveyed = survey.run(progress).await;
    let (state, message) = match surveyed {
        Ok(surveyed) => {
            progress(Step::Checking { object, suspects: surveyed.suspects.len() });
            let checked = recheck::recheck(store, source, options, api.version(), surveyed.suspects).await?;
            return Ok(Some(KindReport {
                object,
                table: &table.name,
                state: KindState::Checked,
                message: String::new(),
                objects: surveyed.objects,
                rows: surveyed.rows,
                differences: checked.differences,
                unexamined: surveyed.unexamined,
                unproved: checked.unproved,
            }));
        }
        Err(EqualError::NotAvailable(message)) => (KindState::NotAvailable, message),
        Err(EqualError::NoPermission(message)) => (KindState::NoPermission, message),
        Err(EqualError::Unreadable(message)) => (KindState::Failed, message),
        Err(error) => return Err(error),
    };
    let (objects, rows, unexamined, unproved) = Default::default();
    let (table, differences) = (table.name.as_str(), Vec::new());
    Ok(Some(KindReport { object, table, state, message, objects, rows, differences, unexamined, unproved }))
}
