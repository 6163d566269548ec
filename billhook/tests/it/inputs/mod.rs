//! What comes in: every kind of event, hostile bodies, forged signatures, storms and repetitions, through the HTTP port of the
//! real program, and what users then find with SQL and on the command line.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails; clippy knows only the test functions themselves"
)]
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a passing run says what it covered and what it skipped"
)]

mod burst;
mod commands;
mod compare;
mod defects;
mod duplicates;
mod fixtures;
mod hostile;
mod mirror;
mod mode;
mod order;
mod queries;
mod recorded;
mod samples;
mod signatures;
mod types;
