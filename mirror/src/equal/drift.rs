//! Drift: a difference that a read found and that no event explains, not even one that came late.

use std::collections::{HashMap, HashSet};
use std::sync::LazyLock;

use billhook_core::metrics::ObjectKind;
use billhook_store::{DriftFind, DriftKind, EventFilter, EventSummary};
use billhook_stripe::catalogue;
use jiff::{SignedDuration, Timestamp};

use super::error::EqualError;
use super::parts::Parts;
use super::reconcile;

/// Finds decided at once.
const FINDS_MAX: usize = 500;

/// Events of one object that are looked at, newest first.
const EVENTS_MAX: usize = 100;

/// A read may show what happened while it was on its way, in seconds: `read_at` lies before the whole round trip.
const READ_SLACK_SECONDS: i64 = 2;

/// The kinds that some event is about.
static KINDS_WITH_EVENTS: LazyLock<HashSet<&'static str>> = LazyLock::new(|| {
    let mut kinds: HashSet<&str> =
        catalogue::event_types().iter().flat_map(|event| event.objects.iter().copied()).collect();
    for kind in catalogue::kinds() {
        let is_about = |event: &str| {
            event.strip_prefix(kind.object).is_some_and(|rest| rest.starts_with('.') || rest.starts_with('['))
        };
        if catalogue::thin_event_types().iter().any(|event| is_about(event.name)) {
            kinds.insert(kind.object);
        }
    }
    kinds
});

/// Whether an event could have told of a change. What reads find of the other kinds is news, not drift.
pub(crate) fn has_events(object: &str) -> bool {
    KINDS_WITH_EVENTS.contains(object)
}

/// What became of the finds that were due.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Settled {
    /// Finds that no event explains.
    pub confirmed: u64,
    /// Finds that an event explains which came late.
    pub dismissed: u64,
}

/// Decides every find of which an event could have told by now: it is older than `grace`, and at `complete` every event was in
/// the inbox.
///
/// # Errors
/// When the database does not answer.
pub async fn settle(parts: &Parts, grace: SignedDuration, complete: Timestamp) -> Result<Settled, EqualError> {
    let found_before = complete.saturating_sub(grace).unwrap_or(Timestamp::MIN);
    let mut settled = Settled::default();
    let mut complete_kinds = Complete::new();
    loop {
        let due = parts.store.due_drift(found_before, FINDS_MAX).await?;
        let (mut confirmed, mut dismissed) = (Vec::new(), Vec::new());
        let mut drifted = Vec::new();
        for stored in due {
            let filter =
                EventFilter { object_id: Some(stored.find.id.clone()), limit: EVENTS_MAX, ..EventFilter::default() };
            let events = parts.store.list_events(filter).await?;
            let explained = events.iter().any(|event| explains(event, &stored.find, grace));
            if explained || is_news(parts, &stored.find, &mut complete_kinds).await? {
                dismissed.push(stored.number);
            } else {
                confirmed.push(stored.number);
                drifted.push(stored.find);
            }
        }
        if confirmed.is_empty() && dismissed.is_empty() {
            return Ok(settled);
        }
        parts.store.settle_drift(&confirmed, &dismissed, parts.clock.now()).await?;
        settled.confirmed += confirmed.len() as u64;
        settled.dismissed += dismissed.len() as u64;
        drifted.iter().for_each(|find| show(parts, find));
    }
}

/// Whether an event tells of the change behind a find: it happened after the state the mirror had, and not after the read. One of
/// the very second of that state, or of an object the mirror did not have, must also have come late, or it would have been
/// applied before. The event that brought that state tells of nothing later.
fn explains(event: &EventSummary, find: &DriftFind, grace: SignedDuration) -> bool {
    let Some(created) = event.created.filter(|created| *created <= find.read_at.saturating_add(READ_SLACK_SECONDS))
    else {
        return false;
    };
    if event.event_id == find.previous_event {
        return false;
    }
    // What was in the inbox and not yet applied when the find was made counts as late.
    let late = event.received_at >= find.found_at.saturating_sub(grace).unwrap_or(Timestamp::MIN);
    match find.previous_time {
        // A read that stands at a second has seen all of it; an event may share its second with others that come late.
        Some(previous) => created > previous || (created == previous && late && !find.previous_event.is_empty()),
        None => late,
    }
}

/// Kinds with the time since when each is known to have been read as a whole.
type Complete = HashMap<String, Option<Timestamp>>;

/// Whether the mirror lacked an object because its kind had never been read as a whole.
async fn is_news(parts: &Parts, find: &DriftFind, complete: &mut Complete) -> Result<bool, EqualError> {
    if find.kind != DriftKind::Missing || find.previous_time.is_some() {
        return Ok(false);
    }
    let since = match complete.get(&find.object) {
        Some(since) => *since,
        None => {
            let since = reconcile::complete_since(parts, &find.object).await?;
            complete.insert(find.object.clone(), since);
            since
        }
    };
    Ok(since.is_none_or(|since| since >= find.found_at))
}

fn show(parts: &Parts, find: &DriftFind) {
    tracing::warn!(
        object = %find.object,
        id = %find.id,
        kind = find.kind.name(),
        properties = %find.detail,
        "an object differed from Stripe although no event told of a change; its row is right again"
    );
    let object = catalogue::kind_of(&find.object).map_or("other", |kind| kind.object);
    parts.metrics.drift_found.get_or_create(&ObjectKind { object }).inc();
}

#[cfg(test)]
mod tests {
    use billhook_store::EventState;

    use super::*;

    const FOUND_AT: i64 = 10_000;
    const GRACE: SignedDuration = SignedDuration::from_secs(180);

    fn explained(previous_time: Option<i64>, created: Option<i64>, received_at: i64) -> bool {
        explained_after("evt_0", previous_time, created, received_at)
    }

    fn explained_after(
        previous_event: &str,
        previous_time: Option<i64>,
        created: Option<i64>,
        received_at: i64,
    ) -> bool {
        let find = DriftFind {
            previous_event: previous_event.into(),
            object: "customer".into(),
            id: "cus_1".into(),
            kind: DriftKind::Changed,
            detail: String::new(),
            previous_time,
            read_at: 9_990,
            found_at: Timestamp::from_second(FOUND_AT).unwrap(),
        };
        let event = EventSummary {
            sequence: 1,
            event_id: "evt_1".into(),
            event_type: "customer.updated".into(),
            object: "customer".into(),
            object_id: "cus_1".into(),
            created,
            received_at: Timestamp::from_second(received_at).unwrap(),
            state: EventState::Applied,
        };
        explains(&event, &find, GRACE)
    }

    #[test]
    fn an_event_between_the_old_state_and_the_read_explains() {
        assert!(explained(Some(9_000), Some(9_001), FOUND_AT + 1));
        assert!(explained(Some(9_000), Some(9_990), FOUND_AT + 1));
        assert!(!explained(Some(9_000), Some(8_999), FOUND_AT + 1), "it is older than the state the mirror had");
        assert!(!explained(Some(9_000), Some(9_990 + 10), FOUND_AT + 1), "it tells of a later change");
        assert!(!explained(Some(9_000), None, FOUND_AT + 1));
    }

    #[test]
    fn what_was_applied_long_before_the_find_explains_nothing() {
        assert!(explained(Some(9_000), Some(9_000), FOUND_AT + 1));
        assert!(!explained(Some(9_000), Some(9_000), 9_001), "the old state came from this event");
        assert!(explained(None, Some(9_000), FOUND_AT + 1));
        assert!(!explained(None, Some(9_000), 9_001), "its row was there and is lost");
    }

    #[test]
    fn the_event_behind_the_old_state_explains_nothing_however_lately_it_came() {
        assert!(explained_after("evt_0", Some(9_000), Some(9_000), FOUND_AT - 1));
        assert!(!explained_after("evt_1", Some(9_000), Some(9_000), FOUND_AT - 1));
    }

    #[test]
    fn a_read_has_seen_the_whole_second_at_which_it_stands() {
        assert!(!explained_after("", Some(9_000), Some(9_000), FOUND_AT - 1));
        assert!(explained_after("", Some(9_000), Some(9_001), FOUND_AT - 1));
    }

    #[test]
    fn kinds_without_events_are_known() {
        for object in ["customer", "invoice", "subscription", "v2.core.account", "v2.core.account_person"] {
            assert!(has_events(object), "{object}");
        }
        for object in ["balance_transaction", "shipping_rate", "tax_code", "exchange_rate", "country_spec"] {
            assert!(!has_events(object), "{object}");
        }
    }
}
