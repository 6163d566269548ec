//! The related objects in the data of an event: out of the event itself, else out of the mirror, else out of Stripe's API, else null.

use std::collections::{BTreeMap, BTreeSet};

use billhook_flow::Event;
use billhook_flow::engine::{Enrich, EnrichError, Enriching};
use billhook_store::Store;
use billhook_stripe::api::Api;
use serde_json::Value;

use super::data::OBJECT;
use super::objects::Objects;
use super::related::{Related, Tie, Told, tie, told};
use super::shape::stabilise;

/// What the names of Stripe's events begin with.
const STRIPE: &str = "stripe/";

/// Completes the data of Stripe's events with `customer`, `subscription`, `invoice` and `charge`. What the event itself says stays under
/// `object`.
pub struct MirrorEnricher {
    objects: Objects,
}

impl MirrorEnricher {
    /// An enricher. Without `api` there is only the mirror. `account` is that of this installation, empty when unknown.
    pub fn new(store: Store, api: Option<Api>, account: String) -> Self {
        Self { objects: Objects::new(store, api, account) }
    }

    async fn enriched(&self, event: &Event) -> Result<Option<Value>, EnrichError> {
        let object = event.data.get(OBJECT).filter(|object| object.is_object());
        let Some(object) = object.filter(|_| event.name.starts_with(STRIPE)) else { return Ok(None) };
        let mut search = Search::new(&self.objects, &event.id);
        search.run(object).await?;
        let mut data = event.data.clone();
        for related in Related::ALL {
            data[related.name()] = search.found.remove(&related).unwrap_or_default();
        }
        Ok(Some(data))
    }
}

impl Enrich for MirrorEnricher {
    fn enrich<'a>(&'a self, event: &'a Event) -> Enriching<'a> {
        Box::pin(self.enriched(event))
    }
}

/// The search for what one event is related to.
struct Search<'a> {
    objects: &'a Objects,
    event_id: &'a str,
    /// The event's account, once somebody needed it.
    account: Option<String>,
    found: BTreeMap<Related, Value>,
    /// For what Stripe was asked already: one request for each is all that a run may cost.
    asked: BTreeSet<Related>,
}

impl<'a> Search<'a> {
    fn new(objects: &'a Objects, event_id: &'a str) -> Self {
        Self { objects, event_id, account: None, found: BTreeMap::new(), asked: BTreeSet::new() }
    }

    /// Looks for everything, beginning at the event's own object.
    async fn run(&mut self, object: &Value) -> Result<(), EnrichError> {
        let kind = object["object"].as_str().unwrap_or_default();
        let own = Related::of_kind(kind);
        if let Some(own) = own {
            self.keep(own, object.clone());
        }
        for related in Related::ALL.into_iter().filter(|related| Some(*related) != own) {
            if let Some(found) = self.look(related, kind, object).await? {
                self.keep(related, found);
                continue;
            }
            for through in related.through() {
                // The event's own object said what it knows.
                let Some(object) = self.found.get(through).filter(|_| Some(*through) != own).cloned() else { continue };
                if let Some(found) = self.look(related, through.name(), &object).await? {
                    self.keep(related, found);
                    break;
                }
            }
        }
        Ok(())
    }

    fn keep(&mut self, related: Related, mut object: Value) {
        stabilise(related, &mut object);
        self.found.insert(related, object);
    }

    /// What an object of some kind is related to.
    async fn look(&mut self, related: Related, kind: &str, object: &Value) -> Result<Option<Value>, EnrichError> {
        match told(kind, object, related) {
            Told::Is(id, expanded) => self.by_id(related, id, expanded).await,
            Told::Absent => Ok(None),
            Told::Nothing => match tie(kind, related).filter(|tie| !tie.is_absent(object)) {
                Some(tie) => self.by_tie(tie, object).await,
                None => Ok(None),
            },
        }
    }

    async fn by_id(
        &mut self,
        related: Related,
        id: &str,
        expanded: Option<&Value>,
    ) -> Result<Option<Value>, EnrichError> {
        if let Some(mirrored) = self.objects.mirrored(related, id).await? {
            return Ok(Some(mirrored));
        }
        if let Some(expanded) = expanded {
            return Ok(Some(expanded.clone()));
        }
        match self.may_ask(related) {
            true => self.objects.retrieved(related, id, &self.account().await?).await,
            false => Ok(None),
        }
    }

    async fn by_tie(&mut self, tie: &Tie, object: &Value) -> Result<Option<Value>, EnrichError> {
        let Some(id) = object["id"].as_str() else { return Ok(None) };
        if let Some(id) = self.objects.mirrored_tie(tie, id).await? {
            return self.by_id(tie.related, &id, None).await;
        }
        if !self.may_ask(tie.related) {
            return Ok(None);
        }
        let account = self.account().await?;
        match self.objects.retrieved_tie(tie, object, &account).await? {
            // A payment without an intent names a charge that is not expanded: the object itself was not asked for yet.
            Some(Value::String(id)) => match self.objects.mirrored(tie.related, &id).await? {
                Some(mirrored) => Ok(Some(mirrored)),
                None => self.objects.retrieved(tie.related, &id, &account).await,
            },
            Some(expanded @ Value::Object(_)) => Ok(Some(expanded)),
            _ => Ok(None),
        }
    }

    /// Whether Stripe may be asked for it, which is noted.
    fn may_ask(&mut self, related: Related) -> bool {
        self.objects.has_api() && self.asked.insert(related)
    }

    async fn account(&mut self) -> Result<String, EnrichError> {
        if self.account.is_none() {
            self.account = Some(self.objects.account_of(self.event_id).await?);
        }
        Ok(self.account.clone().unwrap_or_default())
    }
}

#[cfg(test)]
#[path = "enrich_tests.rs"]
pub(super) mod tests;
