//! What happens in the account when somebody writes to it, and when time passes.
//!
//! Every write is a function in one of the tables of [`routes`]. Objects are JSON, complete from the templates in `shapes.json`; what the objects do not
//! hold is in [`State`]. Whatever changes an object that has events emits one in the same second, so that the last event about an object
//! shows its state.

mod balance;
pub(crate) mod calendar;
mod call;
mod charge;
mod checkout;
mod control;
mod credit_note;
mod customer;
mod discount;
mod dispute;
mod entitlement;
pub(crate) mod fields;
mod invoice;
pub(crate) mod money;
mod payment_intent;
mod payment_method;
mod payout;
mod plain;
mod price;
mod product;
mod radar;
mod record;
mod refund;
mod schedule;
mod setup_intent;
mod shapes;
mod state;
mod subscription;
mod take;
mod tax;
mod test_cards;
mod test_clock;
mod timing;

use crate::routes::WriteRoute;

pub use call::call;
pub use checkout::complete as complete_checkout;
pub use control::control;
pub use dispute::{decide as decide_dispute, open as open_dispute};
pub use shapes::templates;
pub use state::State;

/// Every write of the business. Literal paths win over braces.
pub fn routes() -> impl Iterator<Item = &'static WriteRoute> {
    [
        customer::ROUTES,
        discount::ROUTES,
        dispute::ROUTES,
        charge::ROUTES,
        checkout::ROUTES,
        credit_note::ROUTES,
        entitlement::ROUTES,
        invoice::ROUTES,
        invoice::ITEM_ROUTES,
        payment_intent::ROUTES,
        payment_method::ROUTES,
        payout::ROUTES,
        price::ROUTES,
        product::ROUTES,
        radar::ROUTES,
        refund::ROUTES,
        schedule::ROUTES,
        setup_intent::ROUTES,
        subscription::ROUTES,
        subscription::ITEM_ROUTES,
        tax::ROUTES,
        test_clock::ROUTES,
    ]
    .into_iter()
    .flatten()
}
