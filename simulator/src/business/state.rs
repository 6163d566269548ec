//! What the business remembers besides the objects.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use serde_json::Value;

use super::fields::Fields;
use super::shapes::list;
use crate::account::Account;
use crate::versions::Related;

/// Something that happens at a later time of a test clock.
pub(crate) type Task = Box<dyn FnOnce(&mut Account) + Send>;

/// A test clock: its time, and what waits for it.
#[derive(Default)]
pub(crate) struct TestClock {
    pub(crate) now: i64,
    pub(crate) tasks: BTreeMap<(i64, u64), Task>,
    pub(crate) made: u64,
}

impl fmt::Debug for TestClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestClock").field("now", &self.now).field("waiting", &self.tasks.len()).finish()
    }
}

/// Facts that no object holds.
#[derive(Debug, Default)]
pub struct State {
    /// The invoice that a payment intent pays.
    pub(crate) invoice_of_intent: HashMap<String, String>,
    /// The payment intent that pays an invoice.
    pub(crate) intent_of_invoice: HashMap<String, String>,
    /// The dispute of a charge.
    pub(crate) dispute_of_charge: HashMap<String, String>,
    /// The refunds of a charge, oldest first.
    pub(crate) refunds_of_charge: HashMap<String, Vec<String>>,
    /// Invoices that were marked as paid outside of Stripe.
    pub(crate) paid_out_of_band: BTreeSet<String>,
    /// Customers whose bank refuses every payment for now, whatever their card.
    pub(crate) refused: BTreeSet<String>,
    /// Balance transactions by the day on which their money becomes available.
    pub(crate) settling: BTreeMap<i64, Vec<String>>,
    /// The subscription that is being created: its first event shows it whole.
    pub(crate) creating: Option<String>,
    /// Whether a subscription that nobody pays for stays as `unpaid` after the last attempt, instead of being canceled.
    pub(crate) keeps_unpaid: bool,
    /// Features of a product: ids of `product_feature`.
    pub(crate) features_of_product: HashMap<String, Vec<String>>,
    /// Active entitlements of a customer.
    pub(crate) entitlements: HashMap<String, Vec<String>>,
    /// `subscription_data` of Checkout sessions.
    pub(crate) subscription_data: HashMap<String, serde_json::Map<String, Value>>,
    /// The story that was asked for over HTTP.
    pub(crate) story: Option<crate::story::Story>,
    /// Test clocks by id.
    pub(crate) clocks: BTreeMap<String, TestClock>,
}

/// What older shapes say about other objects.
impl Related for Account {
    fn object(&self, kind: &str, id: &str) -> Option<Value> {
        self.get(kind, id)
    }

    fn link(&self, kind: &str, id: &str, property: &str) -> Value {
        let known = &self.business;
        match (kind, property) {
            ("payment_intent", "invoice") => known.invoice_of_intent.get(id).cloned().into(),
            ("charge", "invoice") => {
                let charge = self.get(kind, id).unwrap_or_default();
                charge
                    .reference("payment_intent")
                    .and_then(|intent| known.invoice_of_intent.get(intent))
                    .cloned()
                    .into()
            }
            ("charge", "dispute") => known.dispute_of_charge.get(id).cloned().into(),
            ("charge", "refunds") => {
                let ids = known.refunds_of_charge.get(id).map_or(&[][..], Vec::as_slice);
                let refunds = ids.iter().rev().filter_map(|refund| self.get("refund", refund)).collect();
                list(refunds, format!("/v1/charges/{id}/refunds"))
            }
            ("invoice", "payment_intent") => known.intent_of_invoice.get(id).cloned().into(),
            ("invoice", "charge") => {
                let intent = known.intent_of_invoice.get(id).and_then(|intent| self.get("payment_intent", intent));
                intent.unwrap_or_default().value("latest_charge").clone()
            }
            ("invoice", "paid_out_of_band") => known.paid_out_of_band.contains(id).into(),
            _ => Value::Null,
        }
    }
}
