//! Test clocks: customers with a time of their own.

use serde_json::{Value, json};

use super::calendar::DAY;
use super::fields::Fields;
use super::record::{add, change, deleted, made};
use super::state::TestClock;
use super::subscription;
use crate::account::Account;
use crate::error::ApiError;
use crate::params::Params;
use crate::routes::{WriteRoute, delete, post};

pub(super) static ROUTES: &[WriteRoute] = &[
    post("/v1/test_helpers/test_clocks", create),
    post("/v1/test_helpers/test_clocks/{id}/advance", advance),
    delete("/v1/test_helpers/test_clocks/{id}", remove),
];

const KIND: &str = "test_helpers.test_clock";
/// Days until a clock is deleted by Stripe.
const DELETED_AFTER_DAYS: i64 = 30;

fn create(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let frozen = params.integer("frozen_time")?.ok_or_else(|| ApiError::missing_parameter("frozen_time"))?;
    let now = account.now();
    let with = json!({
        "deletes_after": now + DELETED_AFTER_DAYS * DAY, "frozen_time": frozen, "name": params.text("name"),
    });
    let clock = made(account, KIND, now, with);
    let clock = add(account, clock, Some("test_helpers.test_clock.created"));
    let state = TestClock { now: frozen, ..TestClock::default() };
    account.business.clocks.insert(clock.text("id").to_owned(), state);
    Ok(clock)
}

/// Moves a clock: everything that falls due for its customers happens, then the clock is ready.
fn advance(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let id = params.path("id");
    let clock = account.require(KIND, id, "id")?;
    let to = params.integer("frozen_time")?.ok_or_else(|| ApiError::missing_parameter("frozen_time"))?;
    if to <= clock.int("frozen_time") {
        return Err(ApiError::parameter("parameter_invalid", "frozen_time", "A test clock can only be moved forward."));
    }
    let details = json!({ "advancing": { "target_frozen_time": to } });
    let with = json!({ "status": "advancing", "status_details": details });
    let answer = change(account, KIND, id, Some("test_helpers.test_clock.advancing"), with);
    // What time does was not asked for by this request.
    let request = account.request.take();
    run_until(account, id, to);
    let with = json!({ "frozen_time": to, "status": "ready", "status_details": {} });
    change(account, KIND, id, Some("test_helpers.test_clock.ready"), with);
    account.request = request;
    Ok(answer)
}

fn run_until(account: &mut Account, id: &str, to: i64) {
    loop {
        let Some(clock) = account.business.clocks.get_mut(id) else { return };
        match clock.tasks.first_entry() {
            Some(entry) if entry.key().0 <= to => {
                let at = entry.key().0;
                let task = entry.remove();
                clock.now = clock.now.max(at);
                task(account);
            }
            _ => {
                clock.now = to;
                return;
            }
        }
    }
}

/// Deleting a clock deletes its customers.
fn remove(account: &mut Account, params: &Params) -> Result<Value, ApiError> {
    let id = params.path("id");
    account.require(KIND, id, "id")?;
    for customer in account.find("customer", "test_clock", id) {
        let customer = customer.text("id");
        for held in account.find("subscription", "customer", customer) {
            if !subscription::has_ended(&held) {
                subscription::end(account, held.text("id"), "cancellation_requested");
            }
        }
        account.remove("customer", customer, Some("customer.deleted"))?;
    }
    account.business.clocks.remove(id);
    account.remove(KIND, id, Some("test_helpers.test_clock.deleted"))?;
    Ok(deleted(KIND, id))
}
