//! Steps: recorded once, retried as they say, never nested, never lost.

use std::io::Error as IoError;
use std::time::Duration;

use billhook_flow::testing::Trial;
use billhook_flow::{
    Backoff, Ctx, Event, Memo, Result, RetryAfter, StepKey, Terminal, days, function, minutes, seconds,
};
use serde_json::json;

use crate::World;

#[tokio::test]
async fn a_recorded_step_is_not_run_again_when_the_function_is_replayed() {
    async fn flow(_event: Event, ctx: Ctx<World>) -> Result<u32> {
        let mut sum = 0;
        for _ in 0..3 {
            sum += ctx
                .step("count", || async {
                    Ok::<_, IoError>({
                        ctx.app().note("count");
                        2_u32
                    })
                })
                .await?;
            ctx.sleep("pause", days(1)).await;
        }
        Ok(sum)
    }
    let world = World::default();
    let end = Trial::new(&function("flow", flow), world.clone(), json!({})).run().await;
    assert_eq!((end.result, end.took), (Ok(json!(6)), days(3)));
    assert_eq!(world.count("count"), 3);
    let ids: Vec<&str> = end.memos.keys().map(String::as_str).collect();
    assert_eq!(ids, ["count", "count#2", "count#3", "pause", "pause#2", "pause#3"]);
}

#[tokio::test]
async fn a_failing_step_is_retried_by_the_table_with_one_key() {
    async fn flow(_event: Event, ctx: Ctx<World>) -> Result<u32> {
        let world = ctx.app();
        let attempt = ctx.step_with("charge", |call| async move {
            world.call("charge", &call);
            if call.attempt() < 3 { Err(IoError::other("away")) } else { Ok(call.attempt()) }
        });
        attempt.await
    }
    let world = World::default();
    let end = Trial::new(&function("flow", flow), world.clone(), json!({})).run().await;
    assert_eq!((end.result, end.took), (Ok(json!(3)), seconds(15 + 30 + 60)));
    let mut seen = world.seen();
    seen.dedup();
    assert_eq!(seen.len(), 1, "four attempts with one key: {seen:?}");
    assert_eq!(world.count("charge"), 4);
}

#[tokio::test]
async fn retries_end_and_the_function_may_catch_what_failed() {
    async fn flow(_event: Event, ctx: Ctx<World>) -> Result<String> {
        let failed = ctx
            .step("mail", || async {
                ctx.app().note("mail");
                Err::<(), _>(IoError::other("no server"))
            })
            .retries(2)
            .backoff(Backoff::Fixed(minutes(1)))
            .await;
        // The failure is recorded: this branch is taken at every replay.
        ctx.sleep("later", days(1)).await;
        Ok(failed.unwrap_err().to_string())
    }
    let world = World::default();
    let end = Trial::new(&function("flow", flow), world.clone(), json!({})).run().await;
    assert_eq!((end.result, end.took), (Ok(json!("no server")), days(1) + minutes(2)));
    assert_eq!(world.count("mail"), 3);
    assert!(matches!(end.memos["mail"], Memo::Failed(_)));
}

#[tokio::test]
async fn errors_say_whether_and_when_to_try_again() {
    async fn flow(_event: Event, ctx: Ctx<World>) -> Result<()> {
        let world = ctx.app();
        let asked = ctx.step_with("asked", |call| async move {
            if call.attempt() == 0 { Err(RetryAfter::new(minutes(7), "busy")) } else { Ok(()) }
        });
        asked.await?;
        ctx.step("terminal", || async {
            world.note("terminal");
            Err::<(), _>(Terminal::new("no such user"))
        })
        .await
    }
    let world = World::default();
    let end = Trial::new(&function("flow", flow), world.clone(), json!({})).run().await;
    assert_eq!((end.result, end.took), (Err("no such user".to_owned()), minutes(7)));
    assert_eq!(world.count("terminal"), 1);
}

#[tokio::test]
async fn a_function_that_fails_outside_of_its_steps_is_executed_again() {
    async fn flow(_event: Event, ctx: Ctx<World>) -> Result<()> {
        ctx.step("once", || async { Ok::<_, IoError>(ctx.app().note("once")) }).await?;
        ctx.app().note("execution");
        Err(IoError::other("a bug"))?
    }
    let world = World::default();
    let flow = function("flow", flow).retries(2).backoff(Backoff::Fixed(seconds(5)));
    let end = Trial::new(&flow, world.clone(), json!({})).run().await;
    assert_eq!((end.result, end.took), (Err("a bug".to_owned()), seconds(10)));
    assert_eq!((world.count("once"), world.count("execution")), (1, 3));
}

#[tokio::test]
async fn parallel_steps_are_each_recorded_whatever_becomes_of_the_others() {
    async fn flow(_event: Event, ctx: Ctx<World>) -> Result<(u8, u8)> {
        let world = ctx.app();
        let slow = ctx.step("slow", || async {
            world.note("slow");
            // Waiting for the world is no suspension, however long it takes.
            for _ in 0..100 {
                tokio::task::yield_now().await;
            }
            Ok::<_, IoError>(1)
        });
        let flaky = ctx.step_with("flaky", |call| async move {
            world.note("flaky");
            if call.attempt() == 0 { Err(IoError::other("away")) } else { Ok(2) }
        });
        ctx.join((slow, flaky)).await
    }
    let world = World::default();
    let trial = Trial::new(&function("flow", flow), world.clone(), json!({}));
    let end = trial.run().await;
    assert_eq!((end.result, end.took), (Ok(json!([1, 2])), seconds(15)));
    assert_eq!((world.count("slow"), world.count("flaky")), (1, 2));
    assert_eq!(trial.survives_crashes().await, Ok(3));
}

#[tokio::test]
async fn a_step_that_must_not_run_twice_is_parked_after_a_crash() {
    async fn flow(_event: Event, ctx: Ctx<World>) -> Result<()> {
        let world = ctx.app();
        ctx.step("pay", || async { Ok::<_, IoError>(world.note("pay")) }).at_most_once().await
    }
    let world = World::default();
    let trial = Trial::new(&function("flow", flow), world.clone(), json!({}));
    assert_eq!(trial.run().await.result, Ok(json!(null)));
    let broken = trial.survives_crashes().await.expect_err("it cannot be made whole by itself");
    assert!(broken.contains("NeedsDecision") && broken.contains("pay"), "{broken}");
}

#[tokio::test(start_paused = true)]
async fn an_attempt_that_takes_too_long_has_failed() {
    async fn flow(_event: Event, ctx: Ctx<World>) -> Result<()> {
        let endless = || async { Ok::<(), IoError>(std::future::pending().await) };
        ctx.step("endless", endless).timeout(Duration::from_secs(3)).retries(0).await
    }
    let end = Trial::new(&function("flow", flow), World::default(), json!({})).run().await;
    assert!(end.result.unwrap_err().contains("longer than 3s"));
}

#[tokio::test]
async fn what_cannot_be_recorded_is_told_and_not_repeated() {
    async fn flow(_event: Event, ctx: Ctx<World>) -> Result<()> {
        let large = || async {
            Ok::<_, IoError>({
                ctx.app().note("large");
                "x".repeat(5 << 20)
            })
        };
        ctx.step("large", large).await.map(drop)
    }
    let world = World::default();
    let end = Trial::new(&function("flow", flow), world.clone(), json!({})).run().await;
    assert!(end.result.unwrap_err().contains("cannot be recorded"));
    assert_eq!(world.count("large"), 1);
}

#[tokio::test]
async fn a_run_has_a_bounded_number_of_steps_with_usable_ids() {
    async fn endless(_event: Event, ctx: Ctx<World>) -> Result<()> {
        loop {
            ctx.step("again", || async { Ok::<_, IoError>(ctx.app().note("again")) }).await?;
        }
    }
    async fn nameless(_event: Event, ctx: Ctx<World>) -> Result<()> {
        ctx.step(" ", || async { Ok::<_, IoError>(()) }).await
    }
    let world = World::default();
    let end = Trial::new(&function("endless", endless), world.clone(), json!({})).run().await;
    assert!(end.result.unwrap_err().contains("at most 1000 steps"));
    assert_eq!(world.count("again"), 1_000);
    let end = Trial::new(&function("nameless", nameless), World::default(), json!({})).run().await;
    assert!(end.result.unwrap_err().contains("empty"));
}

#[tokio::test]
async fn a_renamed_step_has_the_key_of_its_former_id_and_shares_it_with_nobody() {
    async fn renamed(_event: Event, ctx: Ctx<World>) -> Result<()> {
        let world = ctx.app();
        let step = ctx.step_with("new", |call| async move { Ok::<_, IoError>(world.call("new", &call)) });
        step.renamed_from("newer than the first").renamed_from("first").await
    }
    async fn both(_event: Event, ctx: Ctx<World>) -> Result<()> {
        ctx.step("new", || async { Ok::<_, IoError>(()) }).renamed_from("first").await?;
        ctx.step("first", || async { Ok::<_, IoError>(()) }).await
    }
    let world = World::default();
    let trial = Trial::new(&function("renamed", renamed), world.clone(), json!({}));
    let end = trial.run().await;
    assert!(end.memos.contains_key("new"), "{:?}", end.memos);
    let key = StepKey::new("first", 1).idempotency_key("01M7WSG4S1000G40R40M30E20A");
    assert_eq!(world.seen(), [format!("new {key}")]);
    let end = Trial::new(&function("both", both), World::default(), json!({})).run().await;
    assert!(end.result.unwrap_err().contains("share one record"));
}
