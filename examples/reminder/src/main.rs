//! Billhook with a durable function of one's own: when a payment fails, somebody is told at once, and again later.
//!
//! ```sh
//! cargo run -p reminder -- demo            # a simulated account; reminders come a few seconds after failures
//! cargo run -p reminder -- serve           # your own account, see the README
//! ```
//!
//! Kill it with `kill -9` while a run sleeps, start it again, and the reminder still comes, once.
#![expect(clippy::print_stdout, reason = "the example's notices go to the terminal")]

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use billhook::Billhook;
use billhook_flow::{Ctx, Event, Functions, Result, function, seconds};
use serde::Deserialize;

/// Names a file that notices are appended to as well.
const NOTICES_VARIABLE: &str = "REMINDER_NOTICES";

/// Names the seconds between the notice and the reminder; a real one would wait for days.
const SECONDS_VARIABLE: &str = "REMINDER_SECONDS";

/// What the function works with.
struct App {
    notices: Option<PathBuf>,
    pause_seconds: i64,
}

impl App {
    /// Tells somebody something. A mail server would take the idempotency key, so that a repeated attempt sends no second mail.
    fn tell(&self, what: &str, invoice: &Invoice, idempotency_key: &str) -> std::io::Result<()> {
        let line = format!("{what} {} {idempotency_key}\n", invoice.id);
        print!("{line}");
        match &self.notices {
            Some(path) => std::fs::OpenOptions::new().create(true).append(true).open(path)?.write_all(line.as_bytes()),
            None => Ok(()),
        }
    }
}

#[derive(Deserialize)]
struct Invoice {
    id: String,
}

async fn remind(event: Event<Invoice>, ctx: Ctx<App>) -> Result<()> {
    let (app, invoice) = (ctx.app(), &event.data);
    ctx.step_with("notice", |call| async move { app.tell("notice", invoice, call.idempotency_key()) }).await?;
    ctx.sleep("pause", seconds(app.pause_seconds)).await;
    ctx.step_with("remind", |call| async move { app.tell("remind", invoice, call.idempotency_key()) }).await
}

fn main() -> ExitCode {
    let app = App {
        notices: std::env::var_os(NOTICES_VARIABLE).map(PathBuf::from),
        pause_seconds: std::env::var(SECONDS_VARIABLE).ok().and_then(|text| text.parse().ok()).unwrap_or(5),
    };
    let functions = Functions::new().add(function("remind", remind).on("stripe/payment.failed"));
    Billhook::new().functions(functions, app).run()
}
