//! The database: the way to it, its schema, and what its newest deliveries tell about the clock.

use billhook_store::{Backlog, EventFilter, EventSummary, Role, SchemaState, Store};
use jiff::Timestamp;

use super::Findings;
use crate::settings::configuration::{Configuration, Mode, Transport};
use crate::settings::database::Database;

/// Newest deliveries that are looked at for the clock.
const DELIVERIES_LOOKED_AT: usize = 50;

/// A clock that is wrong by more than this many seconds deserves a look; the tolerance of signatures is a failure.
const SKEW_SECONDS_WARN: i64 = 60;

/// Entries counted in the quarantine.
const QUARANTINE_COUNTED_MAX: usize = 1_000;

/// Checks the database.
pub async fn check(configuration: &Configuration, findings: &mut Findings) {
    check_transport(configuration, findings);
    if let Database::Sqlite { path } = &configuration.database
        && !path.exists()
    {
        let what = format!("{} does not exist yet", path.display());
        return findings.warn(what, "`billhook serve` or `billhook migrate` makes it");
    }
    let store = match crate::database::open(configuration, Role::Tool).await {
        Ok(store) => store,
        Err(error) => {
            return findings.fail(format!("{error:#}"), "check the database URL, the server and the way to it");
        }
    };
    match store.ping().await {
        Ok(()) => {
            findings.ok(format!("{} answers", configuration.database));
            check_content(configuration, &store, findings).await;
        }
        Err(error) => findings.fail(error.to_string(), "check the database server"),
    }
    store.close().await;
}

fn check_transport(configuration: &Configuration, findings: &mut Findings) {
    let action = "use sslmode=verify-full in the database URL";
    match configuration.transport() {
        Transport::SameMachine => findings.ok("the database is on this machine, where TLS is not needed"),
        Transport::Verified => findings.ok("the connection to the database is encrypted, and the server is verified"),
        Transport::Unverified => {
            findings.warn("the connection to the database is encrypted, and the server is not verified", action);
        }
        Transport::MaybeClear => findings.warn("the connection to the remote database may be in the clear", action),
    }
}

async fn check_content(configuration: &Configuration, store: &Store, findings: &mut Findings) {
    match store.schema_state().await {
        Ok(SchemaState::Current) => findings.ok("the schema is current"),
        Ok(SchemaState::Empty | SchemaState::Behind(_)) => {
            return findings
                .warn("the schema is not current", "`billhook migrate`, or the next `billhook serve`, brings it up");
        }
        Ok(SchemaState::Newer) => {
            return findings.fail("the schema is newer than this program", "run the newer Billhook");
        }
        Err(error) => return findings.fail(error.to_string(), "check the rights of the database user"),
    }
    if let Err(error) = check_rows(configuration, store, findings).await {
        findings.fail(error.to_string(), "check the rights of the database user");
    }
}

async fn check_rows(
    configuration: &Configuration,
    store: &Store,
    findings: &mut Findings,
) -> Result<(), billhook_store::StoreError> {
    check_mode(configuration, store.setting("mode").await?.as_deref(), findings);
    check_backlog(configuration, store.backlog().await?, Timestamp::now(), findings);
    match store.list_quarantine(QUARANTINE_COUNTED_MAX).await?.len() {
        0 => findings.ok("the quarantine is empty"),
        count => findings.warn(format!("{count} deliveries are set aside"), "billhook quarantine list"),
    }
    let filter = EventFilter { limit: DELIVERIES_LOOKED_AT, ..EventFilter::default() };
    let tolerance_seconds = i64::from(configuration.ingest.tolerance_seconds);
    check_clock(&store.list_events(filter).await?, Timestamp::now(), tolerance_seconds, findings);
    Ok(())
}

fn check_mode(configuration: &Configuration, pinned: Option<&str>, findings: &mut Findings) {
    match (configuration.stripe.mode, pinned.and_then(Mode::of_name)) {
        (Some(mode), Some(pinned)) if mode != pinned => findings.fail(
            format!("the database mirrors {} mode, and mode is {}", pinned.name(), mode.name()),
            "use another database for the other mode, or correct mode",
        ),
        (_, Some(pinned)) => findings.ok(format!("the database mirrors {} mode", pinned.name())),
        (Some(mode), None) => findings.ok(format!("the database will mirror {} mode", mode.name())),
        (None, None) => findings.ok("the first delivery will decide between live and test mode"),
    }
}

fn check_backlog(configuration: &Configuration, backlog: Backlog, now: Timestamp, findings: &mut Findings) {
    let age_seconds = backlog.oldest_received_at.map_or(0, |oldest| now.as_second() - oldest.as_second());
    let what = format!("{} deliveries wait to be applied, the oldest since {age_seconds} s", backlog.deliveries);
    if backlog.deliveries == 0 {
        findings.ok("every delivery is applied");
    } else if u64::try_from(age_seconds).is_ok_and(|age| age > configuration.ingest.lag_seconds_max) {
        findings.fail(what, "start `billhook serve`, or look for the reason in its log");
    } else {
        findings.ok(what);
    }
}

/// Compares this machine's clock with Stripe's. The fastest of the newest deliveries took nearly no time, so the time between
/// an event and its arrival is then nearly the difference of the clocks. Replayed and retried deliveries take long, which says
/// nothing; a delivery that arrived before it happened says that our clock is behind.
fn check_clock(events: &[EventSummary], now: Timestamp, tolerance_seconds: i64, findings: &mut Findings) {
    let newest = events.iter().map(|event| event.received_at.as_second()).max();
    if newest.is_some_and(|newest| newest > now.as_second() + SKEW_SECONDS_WARN) {
        let action = "correct the clock of the machine that is wrong (NTP)";
        return findings.fail("the newest delivery was received in the future of this machine's clock", action);
    }
    let delays = events.iter().filter_map(|event| Some(event.received_at.as_second() - event.created?));
    let Some(delay_seconds) = delays.min() else {
        return findings.ok("no delivery yet to compare the clock with");
    };
    let behind = format!("this machine's clock is at least {} s behind Stripe's", -delay_seconds);
    match -delay_seconds {
        skew if skew > tolerance_seconds => findings.fail(behind, "correct the clock (NTP); signatures are refused"),
        skew if skew > SKEW_SECONDS_WARN => findings.warn(behind, "correct the clock (NTP)"),
        _ if delay_seconds > tolerance_seconds => findings.warn(
            format!("every recent delivery came {delay_seconds} s or more after its event"),
            "compare this machine's clock with another one (NTP)",
        ),
        _ => findings.ok("the clock agrees with the newest deliveries"),
    }
}

#[cfg(test)]
mod tests {
    use billhook_store::EventState;

    use super::super::Level;
    use super::*;

    fn level(received_minus_created: &[i64], now_minus_received: i64) -> Level {
        let now = Timestamp::from_second(1_700_000_000).unwrap();
        let received = now.as_second() - now_minus_received;
        let event = |delay: &i64| EventSummary {
            sequence: 1,
            event_id: "evt_1".to_owned(),
            event_type: String::new(),
            object: String::new(),
            object_id: String::new(),
            created: Some(received - delay),
            received_at: Timestamp::from_second(received).unwrap(),
            state: EventState::Applied,
        };
        let events: Vec<EventSummary> = received_minus_created.iter().map(event).collect();
        let mut findings = Findings::default();
        check_clock(&events, now, 300, &mut findings);
        findings.0[0].level
    }

    #[test]
    fn the_clock_is_judged_by_the_fastest_delivery() {
        assert_eq!(level(&[], 0), Level::Ok);
        assert_eq!(level(&[2, 90_000], 10), Level::Ok);
        assert_eq!(level(&[1_000, 90_000], 10), Level::Warn);
        assert_eq!(level(&[-100, 5], 10), Level::Warn);
        assert_eq!(level(&[-400], 10), Level::Fail);
        assert_eq!(level(&[1], -100), Level::Fail);
    }
}
