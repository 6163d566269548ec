//! Sleeps and events: never early, never lost, and nothing is held meanwhile.

use std::io::Error as IoError;

use billhook_flow::testing::Trial;
use billhook_flow::{Ctx, Event, Result, days, function, hours, minutes};
use jiff::Timestamp;
use serde::Deserialize;
use serde_json::json;

use crate::World;

#[derive(Debug, Deserialize)]
struct Invoice {
    id: String,
}

/// Reminds after three days unless the invoice is paid before.
async fn dunning(event: Event<Invoice>, ctx: Ctx<World>) -> Result<String> {
    let world = ctx.app();
    let invoice = &event.data.id;
    ctx.step("notice", || async { Ok::<_, IoError>(world.note("notice")) }).await?;
    let paid = ctx.wait_for_event::<Invoice>("paid", "stripe/invoice.paid").timeout(days(3)).await;
    if let Some(paid) = paid {
        return Ok(format!("{} was paid", paid.data.id));
    }
    ctx.step("remind", || async { Ok::<_, IoError>(world.note(format!("remind {invoice}"))) }).await?;
    Ok(format!("{invoice} is unpaid"))
}

#[tokio::test]
async fn an_event_that_comes_in_time_ends_the_wait() {
    let world = World::default();
    let trial = Trial::new(&function("dunning", dunning), world.clone(), json!({ "id": "in_1" }))
        .event(hours(5), "stripe/invoice.voided", json!({ "id": "in_1" }))
        .event(days(2), "stripe/invoice.paid", json!({ "id": "in_1" }));
    let end = trial.run().await;
    assert_eq!((end.result, end.took), (Ok(json!("in_1 was paid")), days(2)));
    assert_eq!((world.count("notice"), world.count("remind")), (1, 0));
    assert_eq!(trial.survives_crashes().await, Ok(1));
}

#[tokio::test]
async fn a_wait_that_nothing_ends_ends_by_itself() {
    let world = World::default();
    let trial = Trial::new(&function("dunning", dunning), world.clone(), json!({ "id": "in_1" })).event(
        days(4),
        "stripe/invoice.paid",
        json!({ "id": "in_1" }),
    );
    let end = trial.run().await;
    assert_eq!((end.result, end.took), (Ok(json!("in_1 is unpaid")), days(3)));
    assert_eq!(world.count("remind"), 1);
    assert_eq!(trial.survives_crashes().await, Ok(2));
}

#[tokio::test]
async fn sleeps_in_parallel_take_as_long_as_the_longest() {
    async fn flow(_event: Event, ctx: Ctx<World>) -> Result<()> {
        let (short, long) = (ctx.sleep("short", minutes(5)), ctx.sleep("long", hours(2)));
        tokio::join!(short, long);
        // A time that is past is no sleep.
        ctx.sleep_until("past", Timestamp::UNIX_EPOCH).await;
        Ok(())
    }
    let end = Trial::new(&function("flow", flow), World::default(), json!({})).run().await;
    assert_eq!((end.result, end.took), (Ok(json!(null)), hours(2)));
    assert_eq!(end.memos.keys().collect::<Vec<_>>(), ["long", "short"]);
}

#[tokio::test]
async fn nothing_sleeps_longer_than_a_leap_year() {
    async fn flow(_event: Event, ctx: Ctx<World>) -> Result<()> {
        ctx.sleep("century", days(36_525)).await;
        Ok(())
    }
    let end = Trial::new(&function("flow", flow), World::default(), json!({})).run().await;
    assert_eq!(end.took, days(366));
}

#[tokio::test]
async fn a_step_beside_a_sleep_is_recorded_before_the_function_is_put_away() {
    async fn flow(_event: Event, ctx: Ctx<World>) -> Result<u8> {
        let world = ctx.app();
        let step = ctx.step("step", || async {
            tokio::task::yield_now().await;
            Ok::<_, IoError>({
                world.note("step");
                7
            })
        });
        let (value, ()) = tokio::join!(step.into_future(), ctx.sleep("week", days(7)));
        value
    }
    let world = World::default();
    let end = Trial::new(&function("flow", flow), world.clone(), json!({})).run().await;
    assert_eq!((end.result, end.took, world.count("step")), (Ok(json!(7)), days(7), 1));
}

#[tokio::test]
async fn an_event_of_another_form_parks_the_run_and_names_it() {
    let trial = Trial::new(&function("dunning", dunning), World::default(), json!({ "number": 1 }));
    let told = trial.run().await.result.unwrap_err();
    assert!(told.contains("Undecodable") && told.contains("dunning") && told.contains("id"), "{told}");
    let trial = Trial::new(&function("dunning", dunning), World::default(), json!({ "id": "in_1" })).event(
        days(1),
        "stripe/invoice.paid",
        json!({ "id": 7 }),
    );
    let told = trial.run().await.result.unwrap_err();
    assert!(told.contains("Undecodable") && told.contains("paid"), "{told}");
}
