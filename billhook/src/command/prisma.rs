//! `billhook prisma`: a schema.prisma of the mirror.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use billhook_mirror::prisma::{Dialect, schema};

use crate::output;
use crate::settings::configuration::Configuration;
use crate::settings::database::Database;

/// For which database, and where to.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// Database to write the schema for, instead of the configured one
    #[arg(long)]
    provider: Option<Provider>,
    /// File to write, instead of standard output
    #[arg(long, short, value_name = "PATH")]
    output: Option<PathBuf>,
}

/// Prisma's names of the databases.
#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Provider {
    Postgresql,
    Sqlite,
}

/// Writes the schema.
pub fn run(arguments: &Arguments, configuration: &Configuration) -> anyhow::Result<ExitCode> {
    let dialect = match (arguments.provider, &configuration.database) {
        (Some(Provider::Postgresql), _) | (None, Database::Postgres(_)) => Dialect::Postgres,
        (Some(Provider::Sqlite), _) | (None, Database::Sqlite { .. }) => Dialect::Sqlite,
    };
    let text = schema(dialect, &configuration.postgres.schema);
    match &arguments.output {
        Some(path) => std::fs::write(path, text).with_context(|| format!("write {}", path.display()))?,
        None => output::bytes(text.as_bytes())?,
    }
    Ok(ExitCode::SUCCESS)
}
