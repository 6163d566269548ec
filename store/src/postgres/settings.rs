//! The database's own settings.

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
}
