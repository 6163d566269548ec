//! Catch-up: what was not delivered arrives by Stripe's own lists, once and unchanged.

use billhook_mirror::equal::CatchUp;
use billhook_simulator::versions::Alone;
use billhook_simulator::{ApiFault, EndpointOptions, EventFault, Limit};
use billhook_store::{DirtyMark, EventFilter};
use jiff::Timestamp;
use serde_json::{Value, json};

use crate::world::{START, World, customer, in_each_world, rename};

/// The state of an account with some history of which nothing was delivered.
fn history(world: &World, customers: usize) -> Vec<String> {
    world.at_stripe(|account| {
        let ids: Vec<String> =
            (0..customers).map(|n| customer(account, &format!("one {n}"), Some("customer.created"))).collect();
        account.advance(5);
        for id in ids.iter().step_by(2) {
            rename(account, id, "two", Some("customer.updated"));
        }
        account.advance(5);
        for id in ids.iter().step_by(7) {
            account.remove("customer", id, Some("customer.deleted")).unwrap();
        }
        ids
    })
}

#[test]
fn what_was_not_delivered_is_recovered() {
    in_each_world(async |world: World| {
        history(&world, 150);
        world.advance(60);
        let mut catch_up = CatchUp::new(world.parts.clone());
        let caught = world.catch_up(&mut catch_up).await;
        let events = world.stripe.oracle().events().len() as u64;
        // Thin events whose snapshot stands in the other list are looked at and left there.
        assert_eq!((caught.new, caught.gap), (events, false));
        assert_eq!(world.differences("customer").await, [""; 0]);
        assert_eq!(world.mirror.deleted_ids("customers").await.len(), 22);
        assert_eq!(world.metric("billhook_catch_up_events_total{outcome=\"new\"}"), events as f64);
        assert_eq!(world.catch_up(&mut catch_up).await.new, 0, "all of it is known now");
        assert!(world.metric("billhook_catch_up_events_total{outcome=\"known\"}") > 0.0, "the overlap was read");
    });
}

#[test]
fn an_event_is_kept_as_stripe_lists_it_and_known_from_its_delivery() {
    in_each_world(async |world: World| {
        world.at_stripe(|account| customer(account, "Zoë \u{1F600}", Some("customer.created")));
        let event = world.stripe.oracle().events()[0].clone();
        let rendered = event.render(&event.api_version, false, &Alone);
        let mut catch_up = CatchUp::new(world.parts.clone());
        assert_eq!(world.catch_up(&mut catch_up).await.new, 1);
        let stored = world.mirror.store.event(&event.id).await.unwrap().unwrap();
        assert_eq!(stored.raw, rendered);
        assert_eq!((stored.secret_index, stored.summary.created), (-1, Some(START)));

        world.at_stripe(|account| customer(account, "two", Some("customer.created")));
        let event = world.stripe.oracle().events()[1].clone();
        let delivered: Value = serde_json::from_slice(&event.render(&event.api_version, false, &Alone)).unwrap();
        world.mirror.deliver(&[delivered]).await;
        assert_eq!(world.catch_up(&mut catch_up).await.new, 0, "it was delivered");
    });
}

#[test]
fn the_cursor_follows_and_an_event_that_shows_up_late_is_found_within_the_overlap() {
    in_each_world(async |world: World| {
        let store = world.mirror.store.clone();
        let cursor = async || store.setting("events_cursor").await.unwrap().unwrap().parse::<i64>().unwrap();
        let mut catch_up = CatchUp::new(world.parts.clone());
        world.catch_up(&mut catch_up).await;
        assert_eq!(cursor().await, START, "without any event it begins at Stripe's present");
        world.advance(3_000);
        let too_late = world.at_stripe(|account| customer(account, "too late", Some("customer.created")));
        world.advance(200);
        let late = world.at_stripe(|account| customer(account, "late", Some("customer.created")));
        world.advance(500);
        // As if both had been invisible until now.
        store.write_setting("events_cursor", &world.now().as_second().to_string()).await.unwrap();
        assert_eq!(world.catch_up(&mut catch_up).await.new, 1);
        assert!(world.mirror.object("customers", &late).await.is_some());
        assert!(world.mirror.object("customers", &too_late).await.is_none());
        assert_eq!(cursor().await, world.now().as_second());

        // A program that begins anew, perhaps after the database was replaced by an older copy, looks further back.
        assert_eq!(world.catch_up(&mut CatchUp::new(world.parts.clone())).await.new, 1);
        assert_eq!(world.differences("customer").await, [""; 0]);
    });
}

#[test]
fn without_a_cursor_it_begins_at_the_newest_event_there_is() {
    in_each_world(async |world: World| {
        world.at_stripe(|account| customer(account, "delivered", Some("customer.created")));
        let event = world.stripe.oracle().events()[0].clone();
        world
            .mirror
            .deliver(&[serde_json::from_slice(&event.render(&event.api_version, false, &Alone)).unwrap()])
            .await;
        for _ in 0..20 {
            world.advance(86_400);
            world.at_stripe(|account| customer(account, "missed", Some("customer.created")));
        }
        let mut catch_up = CatchUp::new(world.parts.clone());
        assert_eq!(world.catch_up(&mut catch_up).await.new, 20);
        assert_eq!(world.differences("customer").await, [""; 0]);
    });
}

#[test]
fn a_busy_second_and_pages_that_grow_meanwhile_lose_nothing() {
    in_each_world(async |world: World| {
        history(&world, 400);
        let faults = world.stripe.faults();
        let mut left = 3;
        faults.between_pages("/v1/events", move |account| {
            if left > 0 {
                left -= 1;
                customer(account, "meanwhile", Some("customer.created"));
            }
        });
        let mut catch_up = CatchUp::new(world.parts.clone());
        world.catch_up(&mut catch_up).await;
        world.advance(1);
        world.catch_up(&mut catch_up).await;
        assert_eq!(world.differences("customer").await, [""; 0]);
    });
}

#[test]
fn a_list_that_goes_round_in_circles_ends_the_pass_and_the_next_one_goes_on() {
    in_each_world(async |world: World| {
        history(&world, 150);
        let mut catch_up = CatchUp::new(world.parts.clone());
        for fault in
            [ApiFault::RepeatPage, ApiFault::EmptyPage, ApiFault::Status { status: 500, should_retry: Some(false) }]
        {
            world.stripe.faults().api("/v1/events", fault.clone(), Limit::Always);
            assert!(catch_up.pass().await.is_err(), "{fault:?}");
            world.stripe.faults().clear();
        }
        assert_eq!(world.mirror.store.setting("events_cursor").await.unwrap(), None, "nothing was finished");
        world.catch_up(&mut catch_up).await;
        assert_eq!(world.differences("customer").await, [""; 0]);
    });
}

#[test]
fn a_cursor_older_than_stripe_remembers_leaves_a_gap_and_everything_is_read_again() {
    in_each_world(async |world: World| {
        let store = &world.mirror.store;
        let mut catch_up = CatchUp::new(world.parts.clone());
        world.catch_up(&mut catch_up).await;
        world.advance(86_400);
        let lost = world.at_stripe(|account| customer(account, "lost", Some("customer.created")));
        world.advance(40 * 86_400);
        let listed = world.at_stripe(|account| customer(account, "listed", Some("customer.created")));
        let caught = world.catch_up(&mut catch_up).await;
        assert_eq!((caught.new, caught.gap), (1, true));
        assert_eq!(world.differences("customer").await, [lost]);
        assert!(world.mirror.object("customers", &listed).await.is_some());

        let gaps = store.list_gaps(10).await.unwrap();
        let reach = world.now().as_second() - 30 * 86_400 + 3_600;
        assert_eq!(gaps.iter().map(|gap| (gap.from, gap.to)).collect::<Vec<_>>(), [(START, reach)]);
        let runs = store.list_runs(1_000, true).await.unwrap();
        assert!(runs.iter().any(|run| run.object == "customer" && run.trigger == "gap"));
        assert!(runs.iter().all(|run| gaps[0].runs.contains(&run.id)) && runs.len() == gaps[0].runs.len());
        assert_eq!(world.metric("billhook_gaps_total"), 1.0);

        assert!(!world.catch_up(&mut catch_up).await.gap, "it is recorded once");
        assert_eq!(store.list_gaps(10).await.unwrap().len(), 1);
    });
}

#[test]
fn failed_deliveries_are_looked_at_again() {
    in_each_world(async |world: World| {
        let mut catch_up = CatchUp::new(world.parts.clone());
        world.catch_up(&mut catch_up).await;
        let url = "http://127.0.0.1:9/webhooks";
        world.at_stripe(|account| account.add_endpoint(&EndpointOptions::new(url, "whsec_test")));
        world.at_stripe(|account| customer(account, "undelivered", Some("customer.created")));
        world.advance(7_200);
        // As if it had become visible only now, long behind the cursor.
        world.mirror.store.write_setting("events_cursor", &world.now().as_second().to_string()).await.unwrap();
        assert_eq!(world.catch_up(&mut catch_up).await.new, 0);
        assert_eq!(catch_up.sweep_undelivered().await.unwrap().new, 1);
        world.applied().await;
        assert_eq!(world.differences("customer").await, [""; 0]);
    });
}

#[test]
fn a_thin_event_and_its_snapshot_have_one_effect_in_any_order() {
    for thin_first in [true, false] {
        in_each_world(async |world: World| {
            let id = world.at_stripe(|account| customer(account, "once", Some("customer.created")));
            let oracle = world.stripe.oracle();
            let (snapshot, thin) = (&oracle.events()[0], &oracle.thin_events()[0]);
            assert_eq!(thin.snapshot_event.as_deref(), Some(snapshot.id.as_str()));
            let snapshot: Value =
                serde_json::from_slice(&snapshot.render(&snapshot.api_version, false, &Alone)).unwrap();
            let thin = thin.render(false);
            let mut catch_up = CatchUp::new(world.parts.clone());
            if thin_first {
                world.mirror.deliver(&[thin]).await;
                assert_eq!(marks(&world).await.len(), 1, "nothing but the thin event is known");
                world.catch_up(&mut catch_up).await;
            } else {
                world.mirror.deliver(&[snapshot]).await;
                world.mirror.deliver(&[thin]).await;
                world.catch_up(&mut catch_up).await;
            }
            assert_eq!(marks(&world).await, []);
            assert_eq!(world.mirror.object("customers", &id).await.unwrap()["name"], "once");
            assert_eq!(world.differences("customer").await, [""; 0]);
        });
    }
}

#[test]
fn a_change_that_only_a_thin_event_tells_leads_to_a_read() {
    in_each_world(async |world: World| {
        let id = world.at_stripe(|account| customer(account, "silent", None));
        world.at_stripe(|account| {
            let object = account.get("customer", &id).unwrap();
            account.emit_thin("v1.customer.something_new", Some(&object), None)
        });
        world.catch_up(&mut CatchUp::new(world.parts.clone())).await;
        let marks = marks(&world).await;
        assert_eq!(
            marks.iter().map(|mark| (mark.object.as_str(), mark.id.as_str())).collect::<Vec<_>>(),
            [("customer", id.as_str())]
        );
    });
}

#[test]
fn an_account_without_thin_events_is_asked_again_after_a_day() {
    in_each_world(async |world: World| {
        let gone = ApiFault::Status { status: 404, should_retry: None };
        world.stripe.faults().api("/v2/core/events", gone, Limit::Always);
        world.at_stripe(|account| customer(account, "one", Some("customer.created")));
        let mut catch_up = CatchUp::new(world.parts.clone());
        assert_eq!(world.catch_up(&mut catch_up).await.new, 1, "snapshot events are read all the same");
        let asked = || world.stripe.oracle().requests_to("GET /v2/core/events");
        let before = asked();
        assert!(before > 0);
        world.advance(86_000);
        world.catch_up(&mut catch_up).await;
        assert_eq!(asked(), before);
        world.stripe.faults().clear();
        world.advance(1_000);
        world.catch_up(&mut catch_up).await;
        assert!(asked() > before);
    });
}

#[test]
fn when_stripe_failed_to_make_events_their_kind_is_read_again_once() {
    in_each_world(async |world: World| {
        const FAILED: &str = "v2.core.health.event_generation_failure.resolved";
        let alert = |account: &mut billhook_simulator::Account| {
            let data = json!({ "impact": { "event_type": "customer.updated" }, "resolved_at": "2027-01-15T08:00:00Z" });
            account.emit_thin(FAILED, None, Some(data));
        };
        world.at_stripe(alert);
        let mut catch_up = CatchUp::new(world.parts.clone());
        let objects = async || {
            let runs = world.mirror.store.list_runs(100, false).await.unwrap();
            runs.into_iter().filter(|run| run.trigger == "gap").map(|run| run.object).collect::<Vec<_>>()
        };
        world.catch_up(&mut catch_up).await;
        let first = objects().await;
        assert!(first.contains(&"customer".to_owned()) && !first.contains(&"invoice".to_owned()), "{first:?}");
        world.catch_up(&mut catch_up).await;
        world.catch_up(&mut CatchUp::new(world.parts.clone())).await;
        assert_eq!(objects().await.len(), first.len(), "the overlap shows the alert again");
    });
}

#[test]
fn events_that_were_dropped_on_the_way_are_listed_and_recovered() {
    in_each_world(async |world: World| {
        world.stripe.faults().events("", EventFault::Drop, Limit::Share(0.5));
        history(&world, 60);
        let mut catch_up = CatchUp::new(world.parts.clone());
        world.catch_up(&mut catch_up).await;
        assert_eq!(world.differences("customer").await, [""; 0]);
        let events =
            world.mirror.store.list_events(EventFilter { limit: 1_000, ..EventFilter::default() }).await.unwrap();
        assert_eq!(events.len(), world.stripe.oracle().events().len());
    });
}

async fn marks(world: &World) -> Vec<DirtyMark> {
    world.mirror.store.due_dirty(Timestamp::MAX, 100).await.unwrap()
}
