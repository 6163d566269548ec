//! The simulated company's own tables: it knows most of its customers.

use anyhow::Context as _;
use billhook_store::{Extension, ExtensionMigration, Store};

/// The company's sign-up. The demo runs on SQLite alone.
const COMPANY: Extension = Extension {
    name: "demo",
    migrations: &[ExtensionMigration {
        name: "0001_company",
        postgres: "SELECT 1",
        sqlite: include_str!("../../../sql/demo_company.sql"),
    }],
};

/// Lets customers become users and organisations as they come.
pub async fn settle(store: &Store) -> anyhow::Result<()> {
    store.migrate_extension(&COMPANY).await.context("make the company's users")?;
    Ok(())
}
