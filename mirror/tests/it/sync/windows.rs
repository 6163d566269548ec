//! Whole lists, windows of them, and parts that idle workers take over.

use billhook_mirror::sync::{CreatedFilter, Window, runs};
use billhook_store::Started;
use jiff::Timestamp;

use super::{Stripe, assert_done, assert_equal, ids, start, targets, wait};
use crate::harness::{Mirror, on_each_store};

#[test]
fn a_list_of_many_pages_is_copied_row_by_row() {
    on_each_store(async |mirror: Mirror| {
        let stripe = Stripe::start();
        stripe.simulator.account(|account| account.fill_customers(2_345));
        let runs = stripe.backfill(&mirror, &["customer"]).await;
        assert_done(&runs);
        assert_equal(&stripe, &mirror, "customer", "customers").await;
        let read: u64 = runs.iter().filter(|run| run.object == "customer").map(|run| run.objects).sum();
        assert!((2_345..2_445).contains(&read), "{read} objects were read");
        assert_eq!(mirror.dirty().await, [], "reads of one second are no doubt");
    });
}
