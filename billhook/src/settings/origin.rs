//! Where a value came from, and why it was refused.

use std::fmt;
use std::path::{Path, PathBuf};

use super::parse::Problem;

/// Where a value came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Origin {
    /// The command line.
    Flag(&'static str),
    /// The environment, under this name.
    Environment(&'static str),
    /// `.env` in the working directory, under this name.
    DotEnv(&'static str),
    /// The configuration file, under this key.
    File(PathBuf, &'static str),
    /// Nobody set it.
    Default(&'static str),
}

impl Origin {
    /// Greater is stronger.
    pub fn strength(&self) -> u8 {
        match self {
            Self::Flag(_) => 4,
            Self::Environment(_) => 3,
            Self::DotEnv(_) => 2,
            Self::File(..) => 1,
            Self::Default(_) => 0,
        }
    }

    /// The place: `flag`, `environment`, `.env`, the file, `default`.
    pub fn place(&self) -> String {
        match self {
            Self::Flag(_) => "flag".to_owned(),
            Self::Environment(_) => "environment".to_owned(),
            Self::DotEnv(_) => ".env".to_owned(),
            Self::File(path, _) => path.display().to_string(),
            Self::Default(_) => "default".to_owned(),
        }
    }

    /// The name under which it was found there.
    pub fn name(&self) -> String {
        match self {
            Self::Flag(flag) => format!("--{flag}"),
            Self::Environment(name) | Self::DotEnv(name) => (*name).to_owned(),
            Self::File(_, key) | Self::Default(key) => (*key).to_owned(),
        }
    }
}

/// A reason not to start: one line that says what is wrong and what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    subject: String,
    problem: Problem,
}

impl Refusal {
    /// A value that its setting does not take.
    pub fn of_value(origin: &Origin, problem: Problem) -> Self {
        let subject = match origin {
            Origin::Environment(name) => (*name).to_owned(),
            origin @ (Origin::DotEnv(_) | Origin::File(..)) => format!("{} in {}", origin.name(), origin.place()),
            origin => origin.name(),
        };
        Self { subject, problem }
    }

    /// A file that cannot be used.
    pub fn of_file(path: &Path, what: impl Into<String>, action: impl Into<String>) -> Self {
        Self { subject: path.display().to_string(), problem: Problem::new(what, action) }
    }

    /// Settings that contradict each other.
    pub fn of_combination(subject: impl Into<String>, what: impl Into<String>, action: impl Into<String>) -> Self {
        Self { subject: subject.into(), problem: Problem::new(what, action) }
    }

    /// What is wrong, without what to do.
    pub fn what(&self) -> String {
        format!("{} {}", self.subject, self.problem.what)
    }

    /// What to do.
    pub fn action(&self) -> &str {
        &self.problem.action
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}; {}", self.what(), self.action())
    }
}
