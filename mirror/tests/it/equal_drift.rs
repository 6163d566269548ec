//! The rolling re-list: what no event told is found, repaired, and counted unless an event explains it after all.

use billhook_mirror::equal::reconcile::{ReconcileOptions, Stepped, step};
use billhook_mirror::equal::{CatchUp, drift};
use billhook_mirror::interpret::Policy;
use billhook_mirror::reread::reread;
use billhook_mirror::sync::names::Target;
use billhook_mirror::sync::{ApiSource, SourceOptions};
use billhook_simulator::{ApiFault, Limit};
use billhook_store::DriftKind;
use jiff::SignedDuration;
use serde_json::{Value, json};

use crate::harness::event;
use crate::world::{World, customer, in_each_world, rename};

const GRACE: SignedDuration = SignedDuration::from_secs(180);
const DAY: i64 = 86_400;

fn options(objects: &[&'static str]) -> ReconcileOptions {
    let targets = objects.iter().map(|&object| Target { object, named: false }).collect();
    ReconcileOptions { targets, period: SignedDuration::from_hours(24), account: String::new() }
}

/// Reads these kinds once. Returns how many rows no list showed.
async fn sweep(world: &World, objects: &[&'static str]) -> usize {
    let options = options(objects);
    let running = world.syncer();
    let mut absent = 0;
    loop {
        match step(&world.parts, &options).await.unwrap() {
            Stepped::Idle => break,
            Stepped::Finished { absent: some, .. } => absent += some,
            Stepped::Started(_) | Stepped::Waiting => {
                // Segments rest by the clock.
                world.advance(1);
                running.syncer.wake();
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        }
    }
    running.syncer.stop().await;
    absent
}

/// Reads every marked object.
async fn read_marked(world: &World) {
    let source = ApiSource::new(world.parts.api.clone(), world.mirror.store.clone(), SourceOptions::default());
    while reread(&world.mirror.store, &source, &Policy::default(), world.now(), 100).await.unwrap().done() > 0 {}
}

/// Decides what is due; returns how many were confirmed and dismissed.
async fn settle(world: &World) -> (u64, u64) {
    let settled = drift::settle(&world.parts, GRACE, world.now()).await.unwrap();
    (settled.confirmed, settled.dismissed)
}

async fn finds(world: &World) -> Vec<(DriftKind, String, String)> {
    let finds = world.mirror.store.list_drift(100).await.unwrap();
    finds.into_iter().map(|stored| (stored.find.kind, stored.find.id, stored.find.detail)).collect()
}

fn drift_metric(world: &World, object: &str) -> f64 {
    world.metric(&format!("billhook_drift_found_total{{object=\"{object}\"}}"))
}

/// A mirror that is equal, with some customers, and whose kinds were all read once.
async fn equal_world(world: &World, objects: &[&'static str]) -> Vec<String> {
    let ids: Vec<String> = world
        .at_stripe(|account| (0..120).map(|n| customer(account, &format!("{n}"), Some("customer.created"))).collect());
    world.catch_up(&mut CatchUp::new(world.parts.clone())).await;
    world.advance(60);
    sweep(world, objects).await;
    read_marked(world).await;
    assert_eq!(finds(world).await, [], "nothing differs yet");
    assert_eq!(world.differences("customer").await, [""; 0]);
    world.advance(DAY + 60);
    ids
}

#[test]
fn a_change_without_an_event_is_found_within_the_period_and_counted_once() {
    in_each_world(async |world: World| {
        let ids = equal_world(&world, &["customer"]).await;
        world.at_stripe(|account| rename(account, &ids[7], "silently", None));
        world.advance(10);
        assert_eq!(sweep(&world, &["customer"]).await, 0);
        assert_eq!(
            world.mirror.object("customers", &ids[7]).await.unwrap()["name"],
            "silently",
            "it is repaired at once"
        );
        assert_eq!(finds(&world).await, [(DriftKind::Changed, ids[7].clone(), "name".to_owned())]);
        assert_eq!(settle(&world).await, (0, 0), "an event may still come");
        world.advance(200);
        assert_eq!(settle(&world).await, (1, 0));
        assert_eq!(settle(&world).await, (0, 0));
        assert_eq!(drift_metric(&world, "customer"), 1.0);
        world.advance(DAY);
        sweep(&world, &["customer"]).await;
        world.advance(200);
        assert_eq!((settle(&world).await, drift_metric(&world, "customer")), ((0, 0), 1.0), "it is equal again");
    });
}

#[test]
fn an_event_that_comes_late_explains_a_find() {
    in_each_world(async |world: World| {
        let ids = equal_world(&world, &["customer"]).await;
        let new = world.at_stripe(|account| {
            rename(account, &ids[3], "told late", Some("customer.updated"));
            rename(account, &ids[4], "never told", None);
            customer(account, "told late as well", Some("customer.created"))
        });
        world.advance(10);
        sweep(&world, &["customer"]).await;
        let mut found: Vec<String> = finds(&world).await.into_iter().map(|(_, id, _)| id).collect();
        found.sort();
        let mut expected = vec![ids[3].clone(), ids[4].clone(), new];
        expected.sort();
        assert_eq!(found, expected);
        world.catch_up(&mut CatchUp::new(world.parts.clone())).await;
        world.advance(200);
        assert_eq!(settle(&world).await, (1, 2));
        assert_eq!(drift_metric(&world, "customer"), 1.0);
        assert_eq!(finds(&world).await, [(DriftKind::Changed, ids[4].clone(), "name".to_owned())]);
    });
}

#[test]
fn an_event_that_explains_one_find_explains_no_other_of_its_object() {
    in_each_world(async |world: World| {
        equal_world(&world, &["customer"]).await;
        let new = world.at_stripe(|account| customer(account, "told late", Some("customer.created")));
        world.advance(10);
        sweep(&world, &["customer"]).await;
        world.catch_up(&mut CatchUp::new(world.parts.clone())).await;
        world.advance(DAY);
        world.at_stripe(|account| rename(account, &new, "silently", None));
        world.advance(10);
        sweep(&world, &["customer"]).await;
        assert_eq!(finds(&world).await.len(), 2, "both are undecided");
        world.advance(3 * DAY);
        let settled = drift::settle(&world.parts, SignedDuration::from_hours(48), world.now()).await.unwrap();
        assert_eq!((settled.confirmed, settled.dismissed), (1, 1));
        assert_eq!(finds(&world).await, [(DriftKind::Changed, new, "name".to_owned())]);
    });
}

#[test]
fn an_event_about_a_later_change_explains_nothing() {
    in_each_world(async |world: World| {
        let ids = equal_world(&world, &["customer"]).await;
        world.at_stripe(|account| rename(account, &ids[0], "silently", None));
        world.advance(10);
        sweep(&world, &["customer"]).await;
        world.advance(10);
        world.at_stripe(|account| rename(account, &ids[0], "told", Some("customer.updated")));
        world.catch_up(&mut CatchUp::new(world.parts.clone())).await;
        world.advance(200);
        assert_eq!(settle(&world).await, (1, 0));
        assert_eq!(world.differences("customer").await, [""; 0]);
    });
}

#[test]
fn a_missed_deletion_is_found_and_proved() {
    in_each_world(async |world: World| {
        let ids = equal_world(&world, &["customer"]).await;
        world.at_stripe(|account| {
            account.remove("customer", &ids[5], None).unwrap();
            account.remove("customer", &ids[6], Some("customer.deleted")).unwrap();
        });
        world.advance(10);
        assert_eq!(sweep(&world, &["customer"]).await, 2);
        assert_eq!(world.mirror.deleted_ids("customers").await, [""; 0], "absence alone proves nothing");
        read_marked(&world).await;
        let mut deleted = vec![ids[5].clone(), ids[6].clone()];
        deleted.sort();
        assert_eq!(world.mirror.deleted_ids("customers").await, deleted);
        assert_eq!(finds(&world).await.iter().filter(|(kind, ..)| *kind == DriftKind::Gone).count(), 2);
        world.catch_up(&mut CatchUp::new(world.parts.clone())).await;
        world.advance(200);
        assert_eq!(settle(&world).await, (1, 1), "one of them was told late");
        assert_eq!(world.differences("customer").await, [""; 0]);
    });
}

#[test]
fn what_lists_do_not_show_and_is_alive_stays() {
    in_each_world(async |world: World| {
        let unlisted = world.at_stripe(|account| customer(account, "never listed", Some("customer.created")));
        world.at_stripe(|account| account.unlist("customer", &unlisted));
        world.catch_up(&mut CatchUp::new(world.parts.clone())).await;
        world.advance(60);
        assert_eq!(sweep(&world, &["customer"]).await, 1);
        read_marked(&world).await;
        assert_eq!(world.mirror.deleted_ids("customers").await, [""; 0]);
        assert_eq!(world.mirror.object("customers", &unlisted).await.unwrap()["name"], "never listed");
        assert_eq!(finds(&world).await, []);
    });
}

#[test]
fn what_is_missing_before_its_kind_was_ever_read_is_news() {
    in_each_world(async |world: World| {
        world.at_stripe(|account| customer(account, "older than the mirror", None));
        world.advance(60);
        sweep(&world, &["customer"]).await;
        assert_eq!(world.differences("customer").await, [""; 0]);
        world.advance(200);
        assert_eq!(settle(&world).await, (0, 1));
        world.advance(DAY);
        world.at_stripe(|account| customer(account, "never told", None));
        world.advance(10);
        sweep(&world, &["customer"]).await;
        world.advance(200);
        assert_eq!(settle(&world).await, (1, 0), "now it should have been there");
        assert_eq!(drift_metric(&world, "customer"), 1.0);
    });
}

#[test]
fn kinds_without_events_are_read_and_never_called_drift() {
    in_each_world(async |world: World| {
        let insert = |account: &mut billhook_simulator::Account| {
            let rate = account.plain("shipping_rate");
            account.insert(Value::Object(rate), None)
        };
        world.at_stripe(insert);
        sweep(&world, &["shipping_rate"]).await;
        world.advance(DAY + 60);
        let id = world.at_stripe(insert);
        world.at_stripe(|account| {
            account.update("shipping_rate", &id, None, |rate| drop(rate.insert("active".into(), json!(true)))).unwrap()
        });
        world.advance(10);
        sweep(&world, &["shipping_rate"]).await;
        assert_eq!(world.differences("shipping_rate").await, [""; 0]);
        assert_eq!(finds(&world).await, []);
    });
}

#[test]
fn a_kind_that_cannot_be_read_is_tried_again_after_the_period() {
    in_each_world(async |world: World| {
        world.stripe.faults().api("/v1/customers", ApiFault::Status { status: 404, should_retry: None }, Limit::Always);
        let ids = world.at_stripe(|account| customer(account, "one", Some("customer.created")));
        world.catch_up(&mut CatchUp::new(world.parts.clone())).await;
        world.advance(60);
        assert_eq!(sweep(&world, &["customer"]).await, 0, "a list that was not read proves no absence");
        assert_eq!(step(&world.parts, &options(&["customer"])).await.unwrap(), Stepped::Idle);
        world.stripe.faults().clear();
        world.at_stripe(|account| rename(account, &ids, "two", None));
        world.advance(DAY);
        sweep(&world, &["customer"]).await;
        assert_eq!(world.differences("customer").await, [""; 0]);
    });
}

#[test]
fn a_row_in_the_shape_of_another_api_version_is_no_drift() {
    in_each_world(async |world: World| {
        sweep(&world, &["customer"]).await;
        world.advance(DAY);
        let mut ids = Vec::new();
        for version in ["2020-08-27", billhook_stripe::catalogue::api_version()] {
            let id = world.at_stripe(|account| customer(account, version, None));
            let set_phone =
                |customer: &mut serde_json::Map<String, Value>| drop(customer.insert("phone".into(), json!("1")));
            let mut object = world.at_stripe(|account| account.update("customer", &id, None, set_phone)).unwrap();
            object.as_object_mut().unwrap().remove("phone");
            let created = world.now().as_second();
            let mut event = event(&format!("evt_{version}"), "customer.created", created, object, None);
            event["api_version"] = json!(version);
            world.mirror.deliver(&[event]).await;
            ids.push(id);
        }
        world.advance(10);
        sweep(&world, &["customer"]).await;
        assert_eq!(world.differences("customer").await, [""; 0]);
        assert_eq!(finds(&world).await, [(DriftKind::Changed, ids[1].clone(), "phone".to_owned())]);
    });
}
