//! What happens in the account when somebody writes to it, and when time passes.
//!
//! Every write is a function in [`ROUTES`]. Objects are JSON, complete from the templates in `shapes.json`; what the objects do not
//! hold is in [`State`]. Whatever changes an object that has events emits one in the same second, so that the last event about an object
//! shows its state.

mod balance;
mod calendar;
mod charge;
mod customer;
mod discount;
mod dispute;
mod entitlement;
mod fields;
mod invoice;
mod money;
mod payment_intent;
mod payment_method;
mod payout;
mod plain;
mod price;
mod product;
mod radar;
mod record;
mod refund;
mod setup_intent;
mod shapes;
mod state;
mod subscription;
mod take;
mod test_cards;
mod timing;

use serde_json::Value;

use crate::account::Account;
use crate::error::ApiError;
use crate::params::Params;
use crate::routes::WriteRoute;

pub use shapes::templates;
pub use state::State;

/// Every write of the business. Literal paths win over braces.
pub fn routes() -> impl Iterator<Item = &'static WriteRoute> {
    [
        customer::ROUTES,
        discount::ROUTES,
        dispute::ROUTES,
        charge::ROUTES,
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
        setup_intent::ROUTES,
        subscription::ROUTES,
        subscription::ITEM_ROUTES,
    ]
    .into_iter()
    .flatten()
}

/// What `POST /_simulator/<name>` does, for names that the simulator itself does not know. `None` for unknown ones.
pub fn control(account: &mut Account, name: &str, params: &Params) -> Option<Result<Value, ApiError>> {
    let _ = (account, name, params);
    None
}
