//! Running other programs from the workspace's root.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

/// The workspace's root.
pub(crate) fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here)
}

/// Where cargo puts what it builds.
pub(crate) fn target() -> PathBuf {
    let named = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    // A relative path is meant from where cargo was called, which for this command is the root.
    root().join(named.unwrap_or_else(|| "target".into()))
}

/// A command that runs in the root. `cargo` is the one that runs this program.
pub(crate) fn command(program: &str) -> Command {
    let mut command = match program {
        "cargo" => Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into())),
        _ => Command::new(program),
    };
    command.current_dir(root());
    command
}

/// Runs a command to its end.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let shown = show(command);
    let status = command.status().with_context(|| format!("cannot run {shown}"))?;
    ensure!(status.success(), "{shown} failed with {status}");
    Ok(())
}

/// A command as a person would type it.
pub(crate) fn show(command: &Command) -> String {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    words.map(|word| word.to_string_lossy()).collect::<Vec<_>>().join(" ")
}

/// Whether a program can be executed.
pub(crate) fn exists(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(program).is_file())
}

/// Builds the release and says where it is.
pub(crate) fn build_release() -> Result<PathBuf> {
    run(command("cargo").args(["build", "--release", "--package", "billhook"]))?;
    built("release")
}

/// Builds all tests and, with the same features, the program they start; says where that is.
pub(crate) fn build_tests() -> Result<PathBuf> {
    run(command("cargo").args(["test", "--workspace", "--no-run", "--quiet"]))?;
    built("debug")
}

fn built(profile: &str) -> Result<PathBuf> {
    let binary = target().join(profile).join("billhook");
    ensure!(binary.is_file(), "cargo built billhook, but it is not at {}", binary.display());
    Ok(binary)
}

/// `--name value` pairs after a command; every name must be known, and given once.
pub(crate) struct Flags {
    pairs: Vec<(String, String)>,
}

impl Flags {
    /// Reads flags. Those in `switches` take no value.
    pub(crate) fn parse(arguments: &[String], with_value: &[&str], switches: &[&str]) -> Result<Self> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        let mut rest = arguments.iter();
        while let Some(argument) = rest.next() {
            let name = argument.strip_prefix("--").with_context(|| format!("unexpected argument {argument:?}"))?;
            if pairs.iter().any(|(given, _)| given == name) {
                bail!("--{name} is given twice");
            }
            let value = if switches.contains(&name) {
                String::new()
            } else if with_value.contains(&name) {
                rest.next().with_context(|| format!("--{name} needs a value"))?.clone()
            } else {
                bail!("unknown flag --{name}; known: {}", [with_value, switches].concat().join(", "));
            };
            pairs.push((name.to_owned(), value));
        }
        Ok(Self { pairs })
    }

    /// The text of a flag.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.pairs.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    /// The number of a flag, within limits.
    pub(crate) fn number(&self, name: &str, default: u64, limits: std::ops::RangeInclusive<u64>) -> Result<u64> {
        let Some(text) = self.text(name) else { return Ok(default) };
        let number = text.parse().with_context(|| format!("--{name} must be a whole number, not {text:?}"))?;
        ensure!(limits.contains(&number), "--{name} must lie between {} and {}", limits.start(), limits.end());
        Ok(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Flags> {
        let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
        Flags::parse(&words, &["seconds"], &["keep"])
    }

    #[test]
    fn flags_are_read_and_unknown_ones_refused() {
        let flags = parse("--seconds 5 --keep").unwrap();
        assert_eq!(flags.number("seconds", 60, 1..=240).unwrap(), 5);
        assert!(flags.text("keep").is_some());
        for wrong in ["--second 5", "--seconds", "5", "--keep --keep"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        assert!(parse("--seconds 500").unwrap().number("seconds", 60, 1..=240).is_err());
    }
}
