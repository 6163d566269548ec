//! Billhook's program.

use std::process::ExitCode;

fn main() -> ExitCode {
    billhook::Billhook::new().run()
}
