//! What happens in the account when somebody writes to it, and when time passes.
//!
//! Every write is a function in [`ROUTES`]. Objects are JSON, complete from the templates in `shapes.json`; what the objects do not
//! hold is in [`State`]. Whatever changes an object that has events emits one in the same second, so that the last event about an object
//! shows its state.

mod calendar;
mod fields;
mod money;
mod record;
mod shapes;
mod state;
mod take;
mod test_cards;

use crate::routes::WriteRoute;

pub use shapes::templates;
pub use state::State;

/// Every write of the business, and reads that are computed. Literal paths win over braces.
pub static ROUTES: &[WriteRoute] = &[];
