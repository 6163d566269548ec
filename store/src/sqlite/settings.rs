//! The database's own settings.

use rusqlite::{Connection, OptionalExtension};

/// A setting's value.
pub(super) fn read(connection: &Connection, key: &str) -> rusqlite::Result<Option<String>> {
    connection
        .prepare_cached("SELECT value FROM billhook_settings WHERE key = ?1")?
        .query_row([key], |row| row.get(0))
        .optional()
}

/// Writes a setting unless it exists; returns the value that stands.
pub(super) fn pin(connection: &Connection, key: &str, value: &str) -> rusqlite::Result<String> {
    connection
        .prepare_cached("INSERT INTO billhook_settings (key, value) VALUES (?1, ?2) ON CONFLICT DO NOTHING")?
        .execute([key, value])?;
    connection.query_row("SELECT value FROM billhook_settings WHERE key = ?1", [key], |row| row.get(0))
}

/// Writes a setting.
pub(super) fn write(connection: &Connection, key: &str, value: &str) -> rusqlite::Result<()> {
    connection
        .execute(
            "INSERT INTO billhook_settings (key, value) VALUES (?1, ?2) \
             ON CONFLICT (key) DO UPDATE SET value = excluded.value",
            [key, value],
        )
        .map(|_changes| ())
}
