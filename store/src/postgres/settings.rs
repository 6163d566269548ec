//! The database's own settings, and leases that one node holds at a time.

use jiff::Timestamp;

use super::session::Patience;
use super::{PostgresStore, column, statements};
use crate::StoreError;

/// A pin answers nothing only when another session commits the same key at that very moment; then the next one sees it.
const PIN_ATTEMPTS_MAX: usize = 5;

impl PostgresStore {
    /// See [`crate::Store::setting`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn setting(&self, key: &str) -> Result<Option<String>, StoreError> {
        let rows = self.query(Patience::Answer, "reading a setting", statements::SETTING_READ, &[&key]).await?;
        rows.first().map(|row| column(row, 0)).transpose()
    }

    /// See [`crate::Store::pin_setting`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn pin_setting(&self, key: &str, value: &str) -> Result<String, StoreError> {
        for _attempt in 0..PIN_ATTEMPTS_MAX {
            let rows =
                self.query(Patience::Answer, "pinning a setting", statements::SETTING_PIN, &[&key, &value]).await?;
            if let Some(row) = rows.first() {
                return column(row, 0);
            }
        }
        Err(StoreError::Conflict("a setting was being pinned by another node".to_owned()))
    }

    /// See [`crate::Store::write_setting`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn write_setting(&self, key: &str, value: &str) -> Result<(), StoreError> {
        self.execute(Patience::Answer, "writing a setting", statements::SETTING_WRITE, &[&key, &value]).await?;
        Ok(())
    }

    /// See [`crate::Store::take_lease`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn take_lease(
        &self,
        name: &str,
        holder: &str,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<bool, StoreError> {
        let parameters: super::Parameters<'_> = &[&name, &holder, &now, &until];
        let taken = self.execute(Patience::Answer, "taking a lease", statements::LEASE_TAKE, parameters).await?;
        Ok(taken == 1)
    }

    /// See [`crate::Store::drop_lease`].
    ///
    /// # Errors
    /// When the database is away or too slow.
    pub async fn drop_lease(&self, name: &str, holder: &str) -> Result<(), StoreError> {
        self.execute(Patience::Answer, "giving a lease back", statements::LEASE_DROP, &[&name, &holder]).await?;
        Ok(())
    }
}
