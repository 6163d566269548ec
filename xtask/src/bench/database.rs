//! Which stores a bench writes into.

use anyhow::{Result, bail};

use crate::shell::Flags;

/// The stores that `--store` names; both when it is left out.
pub(super) fn stores(flags: &Flags) -> Result<Vec<&'static str>> {
    Ok(match flags.text("store").unwrap_or("both") {
        "postgres" => vec!["postgres"],
        "sqlite" => vec!["sqlite"],
        "both" => vec!["postgres", "sqlite"],
        other => bail!("--store is postgres, sqlite or both, not {other:?}"),
    })
}
