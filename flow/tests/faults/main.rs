//! The engine under faults: processes that are killed, stopped and crashed by what they execute, databases that hang up, clocks that
//! jump. Each process is this very test binary, started again; what its functions do is told to an observer outside of it, and in the
//! end the observer, the database and two triggers in it have to agree.
//!
//! The tests are short here. `cargo xtask faults --filter kill_9 --rounds 50` runs more rounds.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "these are tests: whatever goes wrong has to fail them, and a test that passes says what it covered"
)]

mod backends;
mod clocks;
mod deploy;
mod functions;
mod host;
mod kill;
mod observer;
mod points;
mod poison;
mod process;
mod several;
mod world;
