//! `cargo xtask catalogue [--check]`: makes the catalogue and its documentation from Stripe's description.
//!
//! The description is read from `$BILLHOOK_SHARED` (default: `../shared` beside the workspace) and only here: the build and the
//! program know nothing but the committed result.
#![allow(clippy::print_stdout, reason = "a command talks to the person who called it")]

mod build;
mod input;
mod overlay;
mod print;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};

/// Runs the command with the arguments behind its name.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let check = match arguments {
        [] => false,
        [only] if only == "--check" => true,
        _ => bail!("usage: cargo xtask catalogue [--check]"),
    };
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().context("xtask lies in no workspace")?;
    let made = make(workspace)?;
    for file in &made {
        let committed = std::fs::read_to_string(&file.path).unwrap_or_default();
        if committed == file.text {
            continue;
        }
        ensure!(!check, "{} is not what the generator makes: run `cargo xtask catalogue`", file.path.display());
        std::fs::write(&file.path, &file.text).with_context(|| format!("cannot write {}", file.path.display()))?;
        println!("wrote {}", file.path.display());
    }
    println!("the catalogue is up to date");
    Ok(())
}

/// A file as it should be.
struct Made {
    path: PathBuf,
    text: String,
}

fn make(workspace: &Path) -> Result<Vec<Made>> {
    let shared = std::env::var_os("BILLHOOK_SHARED").map_or_else(|| workspace.join("../shared"), PathBuf::from);
    ensure!(
        shared.join("catalog").is_dir(),
        "no description of Stripe at {}: set BILLHOOK_SHARED to the folder that holds catalog/ and reference/",
        shared.display()
    );
    let input = input::Input::read(&shared)?;
    let folder = workspace.join("stripe/catalogue");
    let overlay_path = folder.join("overlay.txt");
    let overlay_text =
        std::fs::read_to_string(&overlay_path).with_context(|| format!("cannot read {}", overlay_path.display()))?;
    let overlay = overlay::Overlay::parse(&overlay_text)?;
    let kinds = build::kinds(&input, &overlay)?;
    let body = print::catalogue_body(&input, &overlay, &kinds);
    let catalogue_path = folder.join("catalogue.txt");
    let revision = next_revision(&std::fs::read_to_string(&catalogue_path).unwrap_or_default(), &body);
    Ok(vec![
        Made { path: catalogue_path, text: print::catalogue(revision, &body) },
        Made { path: workspace.join("docs/tables.md"), text: print::docs(&kinds) },
    ])
}

/// The revision stays as long as the content does, and grows by one with every change.
fn next_revision(committed: &str, body: &str) -> i64 {
    match print::split(committed) {
        None => 1,
        Some((revision, same)) if same == body => revision,
        Some((revision, _)) => revision + 1,
    }
}
