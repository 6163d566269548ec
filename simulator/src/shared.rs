//! What the parts of a running simulator share.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::account::Account;
use crate::faults::Faults;
use crate::http::traffic::Traffic;
use crate::options::DeliveryOptions;

/// The account behind its lock, and what stands beside it.
#[derive(Debug)]
pub(crate) struct Shared {
    account: Mutex<Account>,
    pub(crate) faults: Faults,
    traffic: Mutex<Traffic>,
    pub(crate) delivery: DeliveryOptions,
    /// Wakes the sender: a delivery was queued.
    pub(crate) wake: Arc<Notify>,
    /// Told whenever a delivery attempt ended.
    pub(crate) attempt_ended: Condvar,
}

impl Shared {
    pub(crate) fn new(account: Account, traffic: Traffic, delivery: DeliveryOptions) -> Self {
        let (faults, wake) = (account.faults().clone(), account.wake());
        Self {
            account: Mutex::new(account),
            faults,
            traffic: Mutex::new(traffic),
            delivery,
            wake,
            attempt_ended: Condvar::new(),
        }
    }

    /// The account with everything done that is due by its clock.
    pub(crate) fn account(&self) -> MutexGuard<'_, Account> {
        let mut account = self.account_as_is();
        account.run_due();
        account
    }

    /// The account as it is.
    pub(crate) fn account_as_is(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn traffic(&self) -> MutexGuard<'_, Traffic> {
        self.traffic.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
