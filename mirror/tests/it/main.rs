//! The mirror on real databases: every test runs on SQLite and, when `TEST_DATABASE_URL` is set, on PostgreSQL.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking and says on stderr what it skips"
)]

mod endpoints;
mod equal_catch_up;
mod equal_drift;
mod equal_reader;
mod equal_verify;
mod harness;
mod in_raw;
mod law;
mod objects;
mod reread;
mod route;
mod sync;
mod world;
