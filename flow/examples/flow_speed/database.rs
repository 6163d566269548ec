//! Opens the databases that the benches write into.

use anyhow::Result;
use billhook_store::{Location, Options, Role, Store};
use billhook_stripe::catalogue;

/// Opens a database and makes its tables.
pub async fn open(url: &str) -> Result<Store> {
    let location = Location::from_url(url);
    let (tables, catalogue_revision) = (catalogue::tables(), catalogue::revision());
    let store = Store::open(Options { location, tables, catalogue_revision, role: Role::Server }).await?;
    store.migrate().await?;
    Ok(store)
}
