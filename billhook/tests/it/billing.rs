//! Billing in the real program: signed deliveries in, rows out.

use std::process::{Command, Stdio};
use std::time::Duration;

use billhook_testkit::{ServerSettings, TestDatabase, sql, wait};

/// Longest wait for something that must happen.
const PATIENCE: Duration = Duration::from_secs(60);

fn own(url: &str, table: &str) -> String {
    if sql::is_postgres(url) { format!("billing.{table}") } else { format!("billing_{table}") }
}
