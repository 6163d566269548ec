//! Opens the configured database.

use anyhow::Context as _;
use billhook_billing::EXTENSION;
use billhook_store::{Location, Options, PostgresLocation, Role, SchemaState, Store};
use billhook_stripe::catalogue;

use crate::failure::Hinted;
use crate::settings::configuration::{Configuration, Mode};
use crate::settings::database::Database;

/// Name of the mode in the database's own settings.
const MODE_SETTING: &str = "mode";

/// How to open the configured database.
pub fn options(configuration: &Configuration, role: Role) -> Options {
    let location = match &configuration.database {
        Database::Sqlite { path } => Location::Sqlite { path: path.clone() },
        Database::Postgres(url) => Location::Postgres(PostgresLocation {
            url: configuration.postgres.url(url),
            tls_ca: configuration.postgres.tls_ca.clone(),
            connections_max: configuration.postgres.connections_max,
            mirror_schema: configuration.postgres.schema.clone(),
            statement_timeout_ms: configuration.postgres.statement_timeout_ms,
        }),
    };
    Options { location, tables: catalogue::tables(), catalogue_revision: catalogue::revision(), role }
}

/// Opens the database, whatever its schema.
///
/// # Errors
/// When it cannot be reached.
pub async fn open(configuration: &Configuration, role: Role) -> anyhow::Result<Store> {
    let store = Store::open(options(configuration, role)).await;
    store.with_context(|| format!("open {}", configuration.database))
}

/// Opens the database of a command that looks or repairs: it has to be there and to have the schema of this program.
///
/// # Errors
/// When it is not there, cannot be reached, or has another schema.
pub async fn open_current(configuration: &Configuration) -> anyhow::Result<Store> {
    if let Database::Sqlite { path } = &configuration.database
        && !path.exists()
    {
        let message = format!("there is no database at {}", path.display());
        return Err(
            Hinted::new(message, "go to its directory, name it with --database, or start `billhook serve`").into()
        );
    }
    let store = open(configuration, Role::Tool).await?;
    require_current(&store).await?;
    Ok(store)
}

/// Brings the schema up to date, or refuses one that is not, and fixes the mode.
///
/// # Errors
/// When the schema cannot be changed, is another one where it must not be changed, or belongs to the other mode.
pub async fn prepare(configuration: &Configuration, store: &Store) -> anyhow::Result<()> {
    if configuration.disable_migrations {
        require_current(store).await?;
    } else {
        let report = store.migrate().await.with_context(|| format!("migrate {}", configuration.database))?;
        if !report.applied.is_empty() || report.tables_created > 0 || report.columns_added > 0 {
            let (tables, columns) = (report.tables_created, report.columns_added);
            tracing::info!(migrations = report.applied.len(), tables, columns, "the schema was brought up to date");
        }
        for note in report.notes {
            tracing::warn!("{note}");
        }
    }
    prepare_billing(configuration, store).await?;
    let Some(mode) = configuration.stripe.mode else { return Ok(()) };
    let standing = store.pin_setting(MODE_SETTING, mode.name()).await.context("read the mode of the database")?;
    match Mode::of_name(&standing) {
        Some(standing) if standing != mode => {
            let message = format!("the database mirrors {} mode, and mode is {}", standing.name(), mode.name());
            Err(Hinted::new(message, "use another database for the other mode, or correct mode").into())
        }
        _ => Ok(()),
    }
}

/// Makes the tables of billing when one of its workflows is on, or refuses to go on without them.
async fn prepare_billing(configuration: &Configuration, store: &Store) -> anyhow::Result<()> {
    if !configuration.disable_migrations {
        migrate_billing(configuration, store).await?;
    } else if !configuration.billing.workflows.is_empty()
        && !store.missing_of_extension(&EXTENSION).await.context("read the state of billing's tables")?.is_empty()
    {
        let hint = "run `billhook migrate` with the same billing.enabled";
        return Err(Hinted::new("the database lacks the tables of billing", hint).into());
    }
    Ok(())
}

/// Makes the tables of billing when one of its workflows is on; returns what was applied.
///
/// # Errors
/// When the schema cannot be changed.
pub async fn migrate_billing(configuration: &Configuration, store: &Store) -> anyhow::Result<Vec<String>> {
    if configuration.billing.workflows.is_empty() {
        return Ok(Vec::new());
    }
    store.migrate_extension(&EXTENSION).await.context("make the tables of billing")
}

/// Refuses a schema that is not this program's.
///
/// # Errors
/// When it is empty, behind or newer.
pub async fn require_current(store: &Store) -> anyhow::Result<()> {
    let (state, hint) = match store.schema_state().await.context("read the state of the schema")? {
        SchemaState::Current => return Ok(()),
        SchemaState::Empty => ("has no tables yet", "run `billhook migrate`"),
        SchemaState::Behind(_) => ("has an older schema than this program", "run `billhook migrate`"),
        SchemaState::Newer => ("has a newer schema than this program", "run the newer Billhook"),
    };
    Err(Hinted::new(format!("the database {state}"), hint).into())
}

/// Runs a command's asynchronous part to its end.
///
/// # Errors
/// When the runtime cannot be started, or the command's own error.
pub fn block_on<T>(command: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("start the runtime")?;
    runtime.block_on(command)
}
