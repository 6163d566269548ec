//! What happens when the machine, the database or the disk fails while deliveries arrive. Every test compares the database with
//! a ledger that was kept outside of the program.
#![expect(
    clippy::unwrap_used,
    reason = "these are tests: whatever goes wrong has to fail them, with the program's log"
)]

mod boot;
mod commit_lost;
mod connections;
mod crash_points;
mod disk_full;
mod durability;
mod held;
mod history;
mod ledger;
mod load;
mod locks;
mod postgres_away;
mod program;
mod refused_start;
mod refused_writes;
mod stop;
mod two_servers;
