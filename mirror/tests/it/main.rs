//! The mirror on real databases: every test runs on SQLite and, when `TEST_DATABASE_URL` is set, on PostgreSQL.

mod harness;
mod law;
mod objects;
mod reread;
