//! One conformance suite for both drivers: every promise of the store is written once and proved on SQLite and on PostgreSQL.
//!
//! PostgreSQL comes from the environment variable `TEST_DATABASE_URL`, the URL of a superuser; every test makes a database of
//! its own there. Without the variable these variants say that they are skipped, and fail when `CI` is set.

#[macro_use]
mod harness;
mod tables;

mod catalogue;
mod children;
mod contenders;
mod control;
mod control_ends;
mod dirty;
mod drift;
mod endpoints;
mod events;
mod flow;
mod flow_hints;
mod flow_runs;
mod flow_versions;
mod hostile;
mod inbox;
mod link;
mod migrations;
mod pending;
mod postgres_only;
mod prune;
mod quarantine;
mod rebuild;
mod rows;
mod runs;
mod segments;
mod settings;
mod sql;
mod sqlite_file;
mod tombstones;
mod upsert;
