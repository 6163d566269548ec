//! What a person adds to Stripe's description: `stripe/catalogue/overlay.txt`, whose head explains its form.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

/// The whole overlay.
#[derive(Default)]
pub(super) struct Overlay {
    /// By kind.
    pub(super) kinds: BTreeMap<String, KindOverlay>,
    /// Additional thin event lines, as they stand.
    pub(super) thin_events: Vec<String>,
}

/// What is said about one kind.
#[derive(Default)]
pub(super) struct KindOverlay {
    pub(super) name: Option<String>,
    pub(super) wants_table: bool,
    pub(super) key: Option<String>,
    pub(super) delete: Option<String>,
    pub(super) prefixes: Option<String>,
    pub(super) children: Vec<String>,
    pub(super) columns: Vec<String>,
}

impl Overlay {
    /// Reads the overlay's text.
    pub(super) fn parse(text: &str) -> Result<Self> {
        let mut overlay = Self::default();
        let mut open: Option<String> = None;
        for (at, line) in text.lines().enumerate() {
            overlay.statement(line, &mut open).with_context(|| format!("line {} of overlay.txt", at + 1))?;
        }
        Ok(overlay)
    }

    fn statement(&mut self, line: &str, open: &mut Option<String>) -> Result<()> {
        if line.is_empty() || line.starts_with('#') {
            return Ok(());
        }
        let Some(detail) = line.strip_prefix("  ") else {
            match line.split_once(' ') {
                Some(("kind", object)) => {
                    if self.kinds.insert(object.to_owned(), KindOverlay::default()).is_some() {
                        bail!("the kind {object} stands there twice");
                    }
                    *open = Some(object.to_owned());
                }
                Some(("thin", rest)) => self.thin_events.push(rest.to_owned()),
                _ => bail!("neither a kind nor a thin event"),
            }
            return Ok(());
        };
        let object = open.as_ref().context("a detail before any kind")?;
        let kind = self.kinds.entry(object.clone()).or_default();
        let (keyword, rest) = detail.split_once(' ').unwrap_or((detail, ""));
        match keyword {
            "name" => kind.name = Some(rest.to_owned()),
            "table" => kind.wants_table = true,
            "key" => kind.key = Some(rest.to_owned()),
            "delete" => kind.delete = Some(rest.to_owned()),
            "prefix" => kind.prefixes = Some(rest.to_owned()),
            "child" => kind.children.push(rest.to_owned()),
            "-" => kind.columns.push(rest.to_owned()),
            _ => bail!("an unknown detail {keyword:?}"),
        }
        Ok(())
    }
}
