//! The command line: commands from their types, flags of settings from the table.

use std::collections::HashMap;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Arg, ArgMatches, CommandFactory as _, FromArgMatches as _, Parser};

use crate::command::Command;
use crate::failure::USAGE;
use crate::settings::Resolution;
use crate::settings::setting::{Default, Group, Kind, Setting};
use crate::settings::sources::{Places, Sources};
use crate::settings::table;

/// Identifies `--config` among the arguments.
const CONFIG: &str = "config-file";

const AFTER_HELP: &str = "\
Settings come from flags, the environment, .env and billhook.toml, in this order of strength; `billhook config print` \
shows them all.\n\nExit codes: 0 done, 1 failed, 2 wrong command line or configuration.";

/// Puts a Stripe account into your own SQL database.
#[derive(Debug, Parser)]
#[command(name = "billhook", version, about, after_help = AFTER_HELP, disable_help_subcommand = true)]
struct Line {
    #[command(subcommand)]
    command: Command,
}

/// The definition of the whole command line, for parsing and for completions.
pub fn definition() -> clap::Command {
    let config = Arg::new(CONFIG)
        .long("config")
        .value_name("PATH")
        .value_parser(clap::value_parser!(PathBuf))
        .help("Configuration file instead of billhook.toml in the working directory [env: BILLHOOK_CONFIG]")
        .help_heading(Group::General.heading())
        .global(true);
    let settings = Group::ALL
        .into_iter()
        .flat_map(|group| table::ALL.iter().filter(move |setting| setting.group == group))
        .filter_map(argument);
    Line::command().arg(config).args(settings)
}

fn argument(setting: &'static Setting) -> Option<Arg> {
    let argument = Arg::new(setting.key)
        .long(setting.flag?)
        .value_name(setting.kind.placeholder())
        .help(help(setting))
        .help_heading(setting.group.heading())
        .hide_short_help(setting.group != Group::General)
        .global(true);
    Some(match setting.kind {
        Kind::Boolean => argument.num_args(0..=1).require_equals(true).default_missing_value("true"),
        _ => argument,
    })
}

fn help(setting: &Setting) -> String {
    let default = match setting.default {
        Default::Value(value) => value,
        Default::Unset(meaning) => meaning,
    };
    let doc = setting.doc.replace('`', "");
    format!("{doc} [default: {}] [env: {}]", default.replace('`', ""), setting.environment.join(", "))
}

/// Reads the process's command line and settings.
///
/// # Errors
/// The exit code, after help, version or an error was printed.
pub fn parse() -> Result<(Command, Resolution), ExitCode> {
    let matches = definition().try_get_matches().map_err(|error| printed(&error))?;
    let line = Line::from_arg_matches(&matches).map_err(|error| printed(&error))?;
    let places = Places {
        flags: flags(&matches),
        file: matches.get_one::<PathBuf>(CONFIG).cloned(),
        environment: std::env::vars_os().collect(),
        // The empty path keeps file names in messages as short as the user knows them.
        directory: PathBuf::new(),
    };
    Ok((line.command, Resolution::of(Sources::read(places))))
}

fn flags(matches: &ArgMatches) -> HashMap<&'static str, String> {
    let with_flag = table::ALL.iter().filter(|setting| setting.flag.is_some());
    with_flag.filter_map(|setting| Some((setting.key, matches.get_one::<String>(setting.key)?.clone()))).collect()
}

fn printed(error: &clap::Error) -> ExitCode {
    // When the stream is gone, nobody is left to read help or error.
    let _ = error.print();
    if error.use_stderr() { ExitCode::from(USAGE) } else { ExitCode::SUCCESS }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        definition().debug_assert();
    }

    #[test]
    fn flags_are_found_before_and_after_the_command() {
        for arguments in [
            ["billhook", "--listen", "127.0.0.1:1", "--disable-migrations", "serve"],
            ["billhook", "serve", "--disable-migrations", "--listen", "127.0.0.1:1"],
        ] {
            let matches = definition().try_get_matches_from(arguments).unwrap();
            let flags = flags(&matches);
            assert_eq!(flags["listen"], "127.0.0.1:1");
            assert_eq!(flags["disable_migrations"], "true");
            assert_eq!(flags.len(), 2);
        }
    }

    #[test]
    fn a_switch_can_be_turned_off() {
        let matches = definition().try_get_matches_from(["billhook", "serve", "--disable-migrations=false"]).unwrap();
        assert_eq!(flags(&matches)["disable_migrations"], "false");
    }

    #[test]
    fn a_secret_has_no_flag() {
        let refused = definition().try_get_matches_from(["billhook", "serve", "--api-key", "x"]);
        assert!(refused.is_err());
    }

    #[test]
    fn the_page_of_commands_names_every_command() {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/commands.md");
        let page = std::fs::read_to_string(path).unwrap();
        for command in definition().get_subcommands().filter(|command| !command.is_hide_set()) {
            assert!(page.contains(&format!("`billhook {}", command.get_name())), "{}", command.get_name());
            for below in command.get_subcommands() {
                let name = format!("`billhook {} {}", command.get_name(), below.get_name());
                assert!(page.contains(&name), "{name}");
            }
        }
    }
}
