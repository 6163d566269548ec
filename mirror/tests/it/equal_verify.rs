//! Verifying names every difference, and nothing else.

use std::time::Duration;

use billhook_mirror::equal::CatchUp;
use billhook_mirror::equal::verify::{DifferenceKind, KindState, Report, VerifyOptions, verify};
use billhook_mirror::sync::names::Target;
use billhook_simulator::{ApiFault, Limit, Permission};
use billhook_stripe::api::Api;

use crate::world::{World, customer, in_each_world, rename};

fn options(object: &'static str, values: bool) -> VerifyOptions {
    let targets = vec![Target { object, named: true }];
    VerifyOptions { targets, account: String::new(), values, rest: Duration::from_secs(2) }
}

async fn verified(world: &World, object: &'static str, values: bool) -> Report {
    verify(&world.mirror.store, &world.parts.api, &options(object, values), |_| {}).await.unwrap()
}

fn found(report: &Report) -> Vec<(DifferenceKind, String, Vec<String>)> {
    let mut found: Vec<_> = report
        .differences()
        .map(|one| (one.kind, one.id.clone(), one.properties.iter().map(|property| property.name.clone()).collect()))
        .collect();
    found.sort();
    found
}

#[test]
fn exactly_the_seeded_differences_are_found_and_nothing_once_they_are_repaired() {
    in_each_world(async |world: World| {
        let ids: Vec<String> = world.at_stripe(|account| {
            (0..230).map(|n| customer(account, &format!("{n}"), Some("customer.created"))).collect()
        });
        let mut catch_up = CatchUp::new(world.parts.clone());
        world.catch_up(&mut catch_up).await;
        world.advance(10);
        let report = verified(&world, "customer", false).await;
        assert!(report.is_clean(), "{report:?}");
        assert_eq!((report.kinds[0].objects, report.kinds[0].rows), (230, 230));

        let missing = world.at_stripe(|account| {
            rename(account, &ids[1], "changed", None);
            account.remove("customer", &ids[2], None).unwrap();
            customer(account, "created", None)
        });
        let expected = [
            (DifferenceKind::Missing, missing.clone(), vec![]),
            (DifferenceKind::Extra, ids[2].clone(), vec![]),
            (DifferenceKind::Different, ids[1].clone(), vec!["name".to_owned()]),
        ];
        let report = verified(&world, "customer", false).await;
        assert_eq!(found(&report), expected);
        assert!(!serde_json::to_string(&report).unwrap().contains("changed"), "no values unless they are asked for");
        let report = verified(&world, "customer", true).await;
        let different = report.differences().find(|one| one.kind == DifferenceKind::Different).unwrap();
        let property = &different.properties[0];
        assert_eq!((property.stored.as_deref(), property.stripe.as_deref()), (Some("\"1\""), Some("\"changed\"")));

        // Now the events come.
        world.advance(1);
        world.at_stripe(|account| {
            let told = account.get("customer", &ids[1]).unwrap();
            account.emit("customer.updated", &told, None);
            let told = account.get("customer", &missing).unwrap();
            account.emit("customer.created", &told, None);
            let gone = serde_json::json!({ "id": ids[2], "object": "customer", "deleted": true });
            account.emit("customer.deleted", &gone, None);
        });
        world.catch_up(&mut catch_up).await;
        let report = verified(&world, "customer", false).await;
        assert!(report.is_clean(), "{report:?}");
    });
}

#[test]
fn what_changes_while_it_is_compared_is_no_difference() {
    in_each_world(async |world: World| {
        let ids: Vec<String> = world.at_stripe(|account| {
            (0..150).map(|n| customer(account, &format!("{n}"), Some("customer.created"))).collect()
        });
        let mut catch_up = CatchUp::new(world.parts.clone());
        world.catch_up(&mut catch_up).await;
        world.advance(10);
        let renamed = ids[0].clone();
        let mut again = true;
        world.stripe.faults().between_pages("/v1/customers", move |account| {
            if std::mem::take(&mut again) {
                rename(account, &renamed, "in between", Some("customer.updated"));
            }
        });
        let (report, ()) = tokio::join!(verified(&world, "customer", false), async {
            world
                .wait_until("the change has happened", async || {
                    world.at_stripe(|account| account.get("customer", &ids[0]).unwrap()["name"] == "in between")
                })
                .await;
            world.catch_up(&mut catch_up).await;
        });
        assert!(report.is_clean(), "{report:?}");
    });
}

#[test]
fn a_kind_that_cannot_be_compared_is_named_and_holds_up_no_other() {
    in_each_world(async |world: World| {
        world.at_stripe(|account| {
            customer(account, "one", None);
            account.add_restricted_key("rk_test_1", Permission::Read, &[("customer", Permission::None)]);
        });
        let state = async |api: &Api| {
            let report = verify(&world.mirror.store, api, &options("customer", false), |_| {}).await.unwrap();
            (report.kinds[0].state, report.is_clean())
        };
        assert_eq!(state(&world.api_with_key("rk_test_1")).await, (KindState::NoPermission, true));
        let fault = ApiFault::Status { status: 500, should_retry: Some(false) };
        world.stripe.faults().api("/v1/customers", fault, Limit::Always);
        assert_eq!(state(&world.parts.api).await, (KindState::Failed, false));
    });
}
