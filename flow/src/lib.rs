//! Durable functions on billing events.
//!
//! A function is an ordinary async function. It takes the event that started it and a [`Ctx`], and what it does to the world it
//! does in steps. A step that was recorded is never run again, whatever happens to the process; a sleep of 30 days holds no memory,
//! because the function's future is dropped and the function is replayed later with what is recorded.
//!
//! ```
//! use billhook_flow::{Ctx, Event, Functions, Result, days, function};
//! # #[derive(Clone)] struct App;
//! # impl App { async fn remind(&self, _customer: &str) -> Result<(), std::io::Error> { Ok(()) } }
//! # #[derive(serde::Deserialize)] struct Customer { id: String }
//! # #[derive(serde::Deserialize)] struct Failed { customer: Customer }
//!
//! async fn remind_later(event: Event<Failed>, ctx: Ctx<App>) -> Result<()> {
//!     ctx.sleep("three days", days(3)).await;
//!     let customer = &event.data.customer.id;
//!     ctx.step("remind", || async { ctx.app().remind(customer).await }).await?;
//!     Ok(())
//! }
//!
//! let functions = Functions::new().add(function("remind-later", remind_later).on("stripe/invoice.payment_failed"));
//! assert!(functions.check().is_ok());
//! ```
//!
//! # What to know
//!
//! - **A step may run more than once until it is recorded**: a crash between its effect and its record repeats it. Every attempt gets
//!   the same [`Call::idempotency_key`]; give it to whoever takes one.
//! - **A [`Ctx::tx_step`] takes effect exactly once**: its SQL and its record are one commit, in the database that Billhook uses.
//! - **Ids name steps**, not the order of calls: steps may be added, reordered and rewritten under sleeping runs. A step that gets another
//!   id says what it was called before ([`Step::renamed_from`]), or runs anew. [`Function::version`] says what becomes of runs whose
//!   code is changed.
//! - **Code between steps runs again at every replay.** Reads and writes belong into steps.
//! - **Steps do not nest**, and a function is not spawned onto other tasks: neither compiles.
//! - **The data of an event of Stripe's** has the fields of its object, the object as Stripe sent it under `object`,
//!   `previous_attributes` (a key that is there has changed, whatever its value), `eventId` and `eventType`. Billhook's server adds
//!   `customer`, `subscription`, `invoice` and `charge` as whole objects, or null: a field of such a name is the object there, and the
//!   bare id only under `object`. A deleted one is `{id, object, deleted: true}`.
//! - **Any error that `?` takes is retried.** [`Terminal`] and [`RetryAfter`] change that.
//!
//! [`testing`] runs a function in memory, moves its clock, fakes its steps, and crashes it after every step.

mod control;
mod ctx;
pub mod engine;
mod error;
mod event;
mod exchange;
mod execution;
pub mod expression;
mod function;
pub mod intake;
mod invoke;
mod lanes;
mod mirror;
mod names;
mod registry;
pub mod schedule;
mod send;
mod step;
pub mod test_clock;
pub mod testing;
mod tx_step;
mod wait;
mod why;

pub use billhook_core::retry::Backoff;
pub use billhook_core::step::StepKey;
pub use billhook_store::{FromSqlValue, SingletonMode, SqlError, SqlRow, SqlValue};
pub use ctx::{Ctx, Join};
pub use error::{Error, Result, RetryAfter, Terminal};
pub use event::Event;
pub use exchange::{
    CommitError, Invocation, Journal, Lost, Memo, Mirror, Outcome, ParkReason, Pending, Progress, Record, Request,
    Sent, StepError, TransactionSession, Wait,
};
pub use function::{Function, Versions, function, function_batch};
pub use invoke::Invoke;
pub use mirror::MirrorRead;
pub use names::{ALIASES, APPLIED, AliasDefect, Aliases, is_reserved, of_type, stripe_names};
pub use registry::{Defect, Functions};
pub use send::{Send, SendSignal};
pub use step::{Call, Step};
pub use tx_step::{HOLD_DEFAULT, HOLD_MAX, Tx, TxStep};
pub use wait::{EventWait, Signal, SignalWait, Sleep, days, hours, minutes, seconds};
pub use why::why;
