//! Billhook as a library: the program, with functions of your own.
//!
//! ```no_run
//! use billhook::Billhook;
//! use billhook_flow::{Ctx, Event, Functions, Result, days, function};
//!
//! struct App;
//!
//! async fn remind(_event: Event, ctx: Ctx<App>) -> Result<()> {
//!     ctx.sleep("three days", days(3)).await;
//!     ctx.step("remind", || async { Ok::<_, std::io::Error>(println!("please pay")) }).await
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     let functions = Functions::new().add(function("remind", remind).on("stripe/invoice.payment_failed"));
//!     Billhook::new().functions(functions, App).run()
//! }
//! ```

mod cli;
mod command;
mod database;
mod failure;
mod functions;
mod local_secret;
mod logging;
mod output;
mod process;
mod reading;
mod settings;
mod signals;
mod stripe_api;

use std::process::ExitCode;

use billhook_flow::Functions;

/// The program, put together by its own `main`.
#[derive(Default)]
pub struct Billhook {
    functions: Functions<()>,
}

impl Billhook {
    /// The program as it ships.
    pub fn new() -> Self {
        Self::default()
    }

    /// With durable functions, which `serve` executes. `app` is what they share: pools, clients, settings of your own. Several sets of
    /// functions may be given, each with what it shares; ids are unique over all of them.
    #[must_use]
    pub fn functions<App: Send + Sync + 'static>(mut self, functions: Functions<App>, app: App) -> Self {
        self.functions = self.functions.and(functions.bound(app));
        self
    }

    /// Reads the command line and the settings as the program does (`serve`, `backfill`, …), runs the command, and returns the exit
    /// code: 0 done, 1 failed, 2 wrong command line, configuration or functions.
    pub fn run(self) -> ExitCode {
        let (command, resolution) = match cli::parse() {
            Ok(parsed) => parsed,
            Err(code) => return code,
        };
        command.run(&resolution, self.functions).unwrap_or_else(|error| failure::report(&error))
    }
}
