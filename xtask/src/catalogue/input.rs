//! The tables that describe Stripe: tab-separated, one header line, no quoting.

use std::collections::HashMap;
use std::path::Path;

use anyhow::{Context, Result, ensure};

/// Everything the generator reads.
pub(super) struct Input {
    pub(super) resources: Vec<Record>,
    pub(super) events: Vec<Record>,
    pub(super) thin_events: Vec<Record>,
    /// Properties by kind, in their order.
    pub(super) properties: HashMap<String, Vec<Record>>,
    /// Columns of the existing engines by table, in their order.
    pub(super) legacy_columns: HashMap<String, Vec<Record>>,
    pub(super) api_version: String,
}

/// One line of a file by the names of its header.
pub(super) struct Record(HashMap<String, String>);

impl Record {
    /// The value of a column; empty when the file has no such column.
    pub(super) fn get(&self, column: &str) -> &str {
        self.0.get(column).map_or("", String::as_str)
    }

    pub(super) fn is(&self, column: &str) -> bool {
        self.get(column) == "y"
    }
}

impl Input {
    /// Reads all files below the folder of shared material.
    pub(super) fn read(shared: &Path) -> Result<Self> {
        let catalog = shared.join("catalog");
        Ok(Self {
            resources: records(&catalog.join("resources.tsv"))?,
            events: records(&catalog.join("events.tsv"))?,
            thin_events: records(&catalog.join("events_thin.tsv"))?,
            properties: grouped(records(&catalog.join("properties.tsv"))?, "object"),
            legacy_columns: grouped(records(&shared.join("reference/schema-columns.tsv"))?, "table"),
            api_version: api_version(&catalog.join("README.md"))?,
        })
    }
}

fn records(path: &Path) -> Result<Vec<Record>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    let mut lines = text.lines();
    let header: Vec<&str> = lines.next().unwrap_or_default().split('\t').collect();
    lines
        .enumerate()
        .map(|(at, line)| {
            let fields: Vec<&str> = line.split('\t').collect();
            ensure!(
                fields.len() == header.len(),
                "{} line {}: {} fields instead of {}",
                path.display(),
                at + 2,
                fields.len(),
                header.len()
            );
            Ok(Record(header.iter().zip(fields).map(|(name, value)| ((*name).to_owned(), value.to_owned())).collect()))
        })
        .collect()
}

fn grouped(records: Vec<Record>, column: &str) -> HashMap<String, Vec<Record>> {
    let mut groups: HashMap<String, Vec<Record>> = HashMap::new();
    for record in records {
        groups.entry(record.get(column).to_owned()).or_default().push(record);
    }
    groups
}

/// The version stands in the description's README as "Stripe API **…**".
fn api_version(readme: &Path) -> Result<String> {
    let text = std::fs::read_to_string(readme).with_context(|| format!("cannot read {}", readme.display()))?;
    let (_, after) = text.split_once("Stripe API **").context("the README does not name Stripe's API version")?;
    let (version, _) = after.split_once("**").context("the README does not name Stripe's API version")?;
    Ok(version.to_owned())
}
