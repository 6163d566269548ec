//! Reads the places that settings come from, before anything is checked.

use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use billhook_core::suggest;

use super::file::{self, File};
use super::origin::{Origin, Refusal};
use super::setting::Setting;
use super::table;

/// Name of the configuration file in the working directory.
pub const FILE_NAME: &str = "billhook.toml";

/// Environment name of the configuration file's path.
pub const FILE_VARIABLE: &str = "BILLHOOK_CONFIG";

/// Everything that was found, by place.
#[derive(Debug, Default)]
pub struct Sources {
    /// Values of flags by key.
    pub flags: HashMap<&'static str, String>,
    /// The environment.
    pub environment: HashMap<String, String>,
    /// `.env`.
    pub dotenv: HashMap<String, String>,
    /// `billhook.toml`.
    pub file: Option<File>,
    /// What could not be read or is unknown.
    pub refusals: Vec<Refusal>,
    /// What is suspicious and no reason to stop.
    pub warnings: Vec<String>,
}

/// Where to look.
#[derive(Debug)]
pub struct Places {
    /// Values of flags by key.
    pub flags: HashMap<&'static str, String>,
    /// `--config`.
    pub file: Option<PathBuf>,
    /// The process's environment.
    pub environment: Vec<(OsString, OsString)>,
    /// The working directory.
    pub directory: PathBuf,
}

impl Sources {
    /// Reads all places.
    pub fn read(places: Places) -> Self {
        let mut sources = Self { flags: places.flags, ..Self::default() };
        sources.read_environment(places.environment);
        sources.read_dotenv(&places.directory.join(".env"));
        sources.read_file(places.file, &places.directory);
        sources.warn_about_near_misses();
        sources
    }

    fn read_environment(&mut self, environment: Vec<(OsString, OsString)>) {
        for (name, value) in environment {
            let Ok(name) = name.into_string() else { continue };
            match value.into_string() {
                Ok(value) => {
                    self.environment.insert(name, value);
                }
                Err(_) if is_known(&name) => {
                    self.refusals.push(Refusal::of_combination(name, "is not UTF-8 text", "set it again"));
                }
                Err(_) => {}
            }
        }
    }

    fn read_dotenv(&mut self, path: &Path) {
        let lines = match dotenvy::from_path_iter(path) {
            Ok(lines) => lines,
            Err(error) if error.not_found() => return,
            Err(_) => {
                self.refusals.push(Refusal::of_file(Path::new(".env"), "cannot be read", "check its permissions"));
                return;
            }
        };
        for line in lines {
            match line {
                Ok((name, value)) => {
                    // The first of two equal names counts, as in every other reader of these files.
                    self.dotenv.entry(name).or_insert(value);
                }
                // The error's own text is the line, which may hold a secret.
                Err(_) => {
                    let what = "has a line that is not NAME=VALUE";
                    let action = "correct it; put values with spaces or # into single quotes";
                    self.refusals.push(Refusal::of_file(Path::new(".env"), what, action));
                    return;
                }
            }
        }
    }

    fn read_file(&mut self, flag: Option<PathBuf>, directory: &Path) {
        let variable = || {
            let value = self.environment.get(FILE_VARIABLE).or_else(|| self.dotenv.get(FILE_VARIABLE));
            value.filter(|value| !value.is_empty()).map(PathBuf::from)
        };
        let asked_for = flag.or_else(variable);
        // The short name keeps messages short.
        let (path, asked_for) = match asked_for {
            Some(path) => (directory.join(path), true),
            None => (directory.join(FILE_NAME), false),
        };
        let mut refusals = Vec::new();
        self.file = file::read(&path, asked_for, &mut refusals);
        self.refusals.append(&mut refusals);
    }

    /// A name that is nearly one of ours is a typing error; others with our prefix may belong to an orchestrator.
    fn warn_about_near_misses(&mut self) {
        let mut warnings = Vec::new();
        for name in self.environment.keys().chain(self.dotenv.keys()) {
            if !name.starts_with("BILLHOOK_") || is_known(name) || name == FILE_VARIABLE {
                continue;
            }
            if let Some(meant) = suggest::nearest(name, known_names()) {
                warnings.push(format!("{} is not a setting; did you mean {meant}?", name.escape_debug()));
            }
        }
        warnings.sort();
        warnings.dedup();
        self.warnings.append(&mut warnings);
    }

    /// The strongest value of a setting, as text, and where it came from. An empty value in the environment or in `.env`
    /// counts as none, except where it would hide that a secret is missing.
    pub fn find(&self, setting: &'static Setting) -> Option<(Origin, &str)> {
        if let (Some(flag), Some(text)) = (setting.flag, self.flags.get(setting.key)) {
            return Some((Origin::Flag(flag), text));
        }
        let filled = |text: &&String| !text.is_empty() || refuses_empty(setting);
        for name in setting.environment {
            if let Some(text) = self.environment.get(*name).filter(filled) {
                return Some((Origin::Environment(name), text));
            }
        }
        for name in setting.environment {
            if let Some(text) = self.dotenv.get(*name).filter(filled) {
                return Some((Origin::DotEnv(name), text));
            }
        }
        let file = self.file.as_ref()?;
        let (key, text) = file.values.iter().find(|(key, _)| *key == setting.key)?;
        Some((Origin::File(file.path.clone(), key), text))
    }
}

/// An empty webhook secret or API key is a deployment that lost it. An empty Stripe key is how the existing engines say that
/// there is none.
fn refuses_empty(setting: &Setting) -> bool {
    setting.is_secret() && setting.key != "stripe.secret_key"
}

fn known_names() -> impl Iterator<Item = &'static str> {
    table::ALL.iter().flat_map(|setting| setting.environment.iter().copied())
}

fn is_known(name: &str) -> bool {
    known_names().any(|known| known == name)
}
