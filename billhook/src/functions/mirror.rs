//! The mirror as functions read it.

use billhook_flow::{Mirror, Pending, Progress, Result, Terminal};
use billhook_store::{EventState, Store};
use billhook_stripe::catalogue;
use serde_json::Value;

use super::related::Related;
use super::shape::{stabilise, stub};

/// Reads objects and the progress of events. What functions get has the same stable fields as the related objects of an event.
pub struct MirrorReader {
    store: Store,
}

impl MirrorReader {
    /// A reader of what is in this store.
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    async fn read(&self, kind: &str, id: &str) -> Result<Option<Value>> {
        let Some(table) = catalogue::table_of(kind) else {
            let what =
                format!("the mirror has no kind {kind}; kinds are called as in the field `object` of Stripe's objects");
            return Err(Terminal::new(what).into());
        };
        let Some(found) = self.store.object(table, id).await? else { return Ok(None) };
        if found.is_deleted {
            return Ok(Some(stub(kind, id)));
        }
        let mut object = serde_json::from_str(&found.raw)?;
        if let Some(related) = Related::of_kind(kind) {
            stabilise(related, &mut object);
        }
        Ok(Some(object))
    }

    async fn stands(&self, event: &str) -> Result<Progress> {
        Ok(match self.store.event(event).await?.map(|delivery| delivery.summary.state) {
            None => Progress::Unknown,
            Some(EventState::Pending) => Progress::Waiting,
            Some(EventState::Quarantined) => Progress::SetAside,
            Some(EventState::Applied) => Progress::Applied,
        })
    }
}

impl Mirror for MirrorReader {
    fn object<'a>(&'a self, object: &'a str, id: &'a str) -> Pending<'a, Result<Option<Value>>> {
        Box::pin(self.read(object, id))
    }

    fn progress<'a>(&'a self, event: &'a str) -> Pending<'a, Result<Progress>> {
        Box::pin(self.stands(event))
    }
}

#[cfg(test)]
#[path = "mirror_tests.rs"]
mod tests;
