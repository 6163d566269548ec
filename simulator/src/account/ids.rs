//! Ids that look and grow like Stripe's.

use crate::random::{Random, push_ordered};

/// Prefixes whose ids are short: six digits of time and eight random letters.
const SHORT: [&str; 12] =
    ["cus_", "prod_", "si_", "sub_sched_", "rsl_", "rsli_", "promo_", "txcd_", "ent_", "feat_", "cbtxn_", "card_"];
/// Prefixes whose ids begin with 3: they belong to payments.
const PAYMENTS: [&str; 5] = ["pi_", "ch_", "re_", "py_", "pyr_"];

/// An id for an object that is made at `now` (Unix seconds). `account` is the part that all ids of an account share.
pub(super) fn new_id(prefix: &str, now: i64, account: &str, random: &mut Random) -> String {
    let now = u64::try_from(now).unwrap_or(0);
    let mut id = String::with_capacity(prefix.len() + 24);
    id.push_str(prefix);
    if SHORT.contains(&prefix) {
        push_ordered(&mut id, now, 6);
    } else {
        // Six digits of base 62 hold the seconds until 3769; the first is 1 until 2028.
        let first = if PAYMENTS.contains(&prefix) { 2 } else { 0 };
        push_ordered(&mut id, now + first * 62_u64.pow(5), 6);
        id.push_str(account);
    }
    random.push_letters(&mut id, 8);
    id
}
