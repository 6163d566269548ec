//! Billing workflows on durable functions: a charge that succeeded is recorded with its user, and a payment that failed is noticed, and
//! reminded of when it is still open three days later.
//!
//! They need nothing but the database: every effect is SQL in the transaction that records its step ([`billhook_flow::Ctx::tx_step`]), so
//! it is there exactly once. Mails are written into an outbox and sent by somebody else.

mod contact;
mod invoice;
mod name;
mod organisations;
mod outbox;
mod payment_recovered;
mod process_payment_failed;
mod record_charge;
mod reference;
mod tables;
mod users;

use billhook_flow::Functions;

pub use name::{ColumnName, NameDefect, TableName};
pub use record_charge::OnMissing;
pub use tables::{EXTENSION, Tables};
pub use users::Users;

/// What the workflows share.
#[derive(Debug, Clone)]
pub struct Billing {
    /// The tables they read and write.
    pub tables: Tables,
    /// Where users are looked for.
    pub users: Users,
    /// What happens to a charge without a user.
    pub on_missing: OnMissing,
}

/// A workflow that can be switched on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workflow {
    /// Records each charge that succeeded.
    RecordCharge,
    /// Follows a payment that failed until it is paid or given up.
    ProcessPaymentFailed,
}

impl Workflow {
    /// The names of all of them, as settings have them.
    pub const NAMES: &[&str] = &["record-charge", "process-payment-failed"];

    /// The workflow of this name.
    pub fn of_name(name: &str) -> Option<Self> {
        [Self::RecordCharge, Self::ProcessPaymentFailed].into_iter().find(|workflow| workflow.name() == name)
    }

    /// Its name, which is also the id of its first function.
    pub fn name(self) -> &'static str {
        match self {
            Self::RecordCharge => record_charge::ID,
            Self::ProcessPaymentFailed => process_payment_failed::ID,
        }
    }
}

/// The functions of these workflows.
pub fn functions(workflows: &[Workflow]) -> Functions<Billing> {
    let mut functions = Functions::new();
    if workflows.contains(&Workflow::RecordCharge) {
        functions = functions.add(record_charge::declared());
    }
    if workflows.contains(&Workflow::ProcessPaymentFailed) {
        functions = functions.add(process_payment_failed::declared()).add(payment_recovered::declared());
    }
    functions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_workflow_has_its_name_and_would_work() {
        let all: Vec<Workflow> = Workflow::NAMES.iter().filter_map(|name| Workflow::of_name(name)).collect();
        assert_eq!(all.iter().map(|workflow| workflow.name()).collect::<Vec<_>>(), Workflow::NAMES);
        assert_eq!(functions(&all).check(), Ok(()));
        assert_eq!(functions(&all).ids(), ["record-charge", "process-payment-failed", "payment-recovered"]);
        assert!(functions(&[]).ids().is_empty());
    }
}
