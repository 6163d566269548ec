//! Events that nobody received.

use bytes::Bytes;
use serde_json::Value;

use super::customer;
use crate::account::Account;
use crate::account::collection::parse;

/// How far back the events reach, in seconds: inside what the Events API keeps.
const REACH_SECONDS: u64 = 20 * 86_400;

/// Every customer is created and then changed: two events, of which the second has `previous_attributes`.
pub(super) fn fill(account: &mut Account, count: usize) -> Vec<String> {
    let now = account.now();
    let mut ids = Vec::with_capacity(count.div_ceil(2));
    let mut created = None;
    for at in 0..count {
        let before = REACH_SECONDS - REACH_SECONDS * (at as u64 + 1) / (count as u64 + 1);
        let time = now - i64::try_from(before).unwrap_or(0);
        created = match created {
            None => Some(create(account, time, at)),
            Some((id, before)) => {
                change(account, &id, &before, time);
                ids.push(id);
                None
            }
        };
    }
    ids.extend(created.map(|(id, _)| id));
    ids
}

fn create(account: &mut Account, time: i64, at: usize) -> (String, Value) {
    let (id, json) = customer::write(account, time, at);
    let json = Bytes::from(json);
    let object = parse(&json);
    account.insert_written("customer", &id, time, json, None);
    account.emit_at(time, "customer.created", &object, None);
    (id, object)
}

fn change(account: &mut Account, id: &str, before: &Value, time: i64) {
    let balance = before["balance"].as_i64().unwrap_or(0) + 100;
    let changed = account.update("customer", id, None, |customer| {
        customer.insert("balance".to_owned(), Value::from(balance));
    });
    if let Ok(after) = changed {
        account.emit_at(time, "customer.updated", &after, Some(before));
    }
}
