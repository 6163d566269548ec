//! The time that applies to a customer: the account's, or that of the test clock the customer stands under.

use super::fields::Fields;
use crate::account::Account;

/// The test clock of a customer.
fn clock_of(account: &Account, customer: Option<&str>) -> Option<String> {
    let customer = account.get("customer", customer?)?;
    customer.reference("test_clock").map(str::to_owned)
}

/// The present time for a customer, in Unix seconds.
pub(crate) fn now_of(account: &Account, customer: Option<&str>) -> i64 {
    // Nobody pays for test clocks who has none: bulk data has millions of customers.
    if account.business.clocks.is_empty() {
        return account.now();
    }
    let clock = clock_of(account, customer).and_then(|clock| account.business.clocks.get(&clock));
    clock.map_or_else(|| account.now(), |clock| clock.now)
}

/// Does something at a later time of a customer.
pub(crate) fn later(
    account: &mut Account,
    customer: Option<&str>,
    at: i64,
    task: impl FnOnce(&mut Account) + Send + 'static,
) {
    let clock = if account.business.clocks.is_empty() { None } else { clock_of(account, customer) };
    match clock.and_then(|clock| account.business.clocks.get_mut(&clock)) {
        Some(clock) => {
            clock.made += 1;
            clock.tasks.insert((at, clock.made), Box::new(task));
        }
        None => account.at(at, task),
    }
}
