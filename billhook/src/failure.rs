//! How the program ends: exit codes, and the lines a person reads when something failed.

use std::fmt;
use std::io::{self, Write};
use std::process::ExitCode;

use billhook_store::StoreError;

use crate::settings::origin::Refusal;
use billhook_core::redact::redact;

/// Something failed: the database, the network, a check.
pub const FAILED: u8 = 1;

/// The command line or the configuration is wrong. clap uses the same code.
pub const USAGE: u8 = 2;

/// The configuration is refused.
#[derive(Debug)]
pub struct Refused(pub Vec<Refusal>);

impl fmt::Display for Refused {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(first) = self.0.first() {
            write!(formatter, "{first}")?;
        }
        match self.0.len() {
            0 | 1 => Ok(()),
            count => write!(formatter, " (and {} more: billhook config check)", count - 1),
        }
    }
}

impl std::error::Error for Refused {}

/// A failure with a line that says what to do.
#[derive(Debug)]
pub struct Hinted {
    message: String,
    hint: String,
}

impl Hinted {
    /// A failure that is told with its hint.
    pub fn new(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: hint.into() }
    }
}

impl fmt::Display for Hinted {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl std::error::Error for Hinted {}

/// Reports a failed command on standard error and gives the exit code.
pub fn report(error: &anyhow::Error) -> ExitCode {
    if is_broken_pipe(error) {
        return ExitCode::SUCCESS;
    }
    let mut text = format!("billhook: {}\n", one_line(&format!("{error:#}")));
    if let Some(hint) = hint(error) {
        text.push_str(&format!("hint: {}\n", one_line(&hint)));
    }
    // When standard error is gone, nobody is left to tell.
    let _ = io::stderr().lock().write_all(text.as_bytes());
    ExitCode::from(if error.is::<Refused>() { USAGE } else { FAILED })
}

/// Whoever read our output, such as `head`, has seen enough.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let broken = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    error.downcast_ref::<io::Error>().is_some_and(broken)
}

fn hint(error: &anyhow::Error) -> Option<String> {
    error.chain().find_map(|cause| {
        if let Some(hinted) = cause.downcast_ref::<Hinted>() {
            return Some(hinted.hint.clone());
        }
        match cause.downcast_ref::<StoreError>()? {
            StoreError::Unavailable(_) => {
                Some("`billhook doctor` checks the way to the database step by step".to_owned())
            }
            StoreError::Full(_) => Some("make room on the disk; what was acknowledged is safe".to_owned()),
            StoreError::Corrupt(_) => {
                Some("restore the file from a backup and replay the events since then".to_owned())
            }
            _ => None,
        }
    })
}

fn one_line(text: &str) -> String {
    redact(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use anyhow::Context as _;

    use super::*;

    #[test]
    fn a_hint_is_found_below_added_context() {
        let error = anyhow::Error::from(Hinted::new("nobody listens", "start the server")).context("send the event");
        assert_eq!(hint(&error).as_deref(), Some("start the server"));
        assert_eq!(format!("{error:#}"), "send the event: nobody listens");
    }

    #[test]
    fn a_broken_pipe_is_no_failure() {
        let broken: Result<(), io::Error> = Err(io::ErrorKind::BrokenPipe.into());
        assert!(is_broken_pipe(&broken.context("print").unwrap_err()));
        let other: Result<(), io::Error> = Err(io::ErrorKind::NotFound.into());
        assert!(!is_broken_pipe(&other.context("print").unwrap_err()));
    }

    #[test]
    fn only_the_first_refusal_is_told_and_the_others_are_counted() {
        let refusal = |name: &str| Refusal::of_combination(name, "is wrong", "correct it");
        assert_eq!(Refused(vec![refusal("A")]).to_string(), "A is wrong; correct it");
        let two = Refused(vec![refusal("A"), refusal("B")]).to_string();
        assert_eq!(two, "A is wrong; correct it (and 1 more: billhook config check)");
    }
}
