//! What happens by the clock alone.

use billhook_core::Clock;
use billhook_core::run::RunState;
use billhook_flow::days;
use billhook_testkit::wait;
use jiff::SignedDuration;

use super::on_both;
use crate::database::PATIENCE;

#[test]
fn functions_start_by_the_clock_also_for_times_that_nobody_was_there_for() {
    on_both("functions_start_by_the_clock_also_for_times_that_nobody_was_there_for", async |house| {
        // 2027-01-15T08:00:00Z.
        let engine = house.engine("a");
        let known = async || {
            let last =
                house.store.register_flow_cron("half-hourly", "TZ=Europe/Paris 30 * * * *", house.clock.now()).await;
            (last.unwrap() <= house.clock.now()).then_some(())
        };
        wait::until_async("schedules are known", PATIENCE, known).await.unwrap();
        house.store.register_flow_cron("hourly", "0 * * * *", house.clock.now()).await.unwrap();
        house.clock.advance(SignedDuration::from_mins(31));
        house.seen("told 2027-01-15T08:30:00Z", 1).await;
        engine.stop().await;
        house.clock.advance(SignedDuration::from_hours(3));
        let engines = [house.engine("b"), house.engine("c")];
        for told in [
            "told 2027-01-15T11:00:00Z",
            "told 2027-01-15T09:30:00Z",
            "told 2027-01-15T10:30:00Z",
            "told 2027-01-15T11:30:00Z",
        ] {
            house.seen(told, 1).await;
        }
        for engine in engines {
            engine.stop().await;
        }
        assert_eq!(house.app.world.count("told"), 5, "{:?}", house.app.world.seen());
    });
}

#[test]
fn runs_expire_when_their_time_is_over() {
    on_both("runs_expire_when_their_time_is_over", async |house| {
        let late = house.send("evt_1", "app/late").await.expect("a new run");
        house.clock.advance(days(1));
        let engine = house.engine("a");
        let hasty = house.send("evt_2", "app/hasty").await.expect("a new run");
        engine.wake();
        let expired = async || {
            let run = house.run(&late).await;
            (run.state.is_over() || run.started_at.is_some()).then_some(run)
        };
        wait::until_async("the late one", PATIENCE, expired).await.unwrap();
        house.until(&hasty, RunState::Waiting).await;
        house.clock.advance(days(1));
        let expired = house.until(&hasty, RunState::Expired).await;
        assert_eq!(expired.message.as_deref(), Some("it did not end in time"));
        engine.stop().await;
    });
}

#[test]
fn what_is_parked_for_long_fails_and_what_is_old_goes() {
    on_both("what_is_parked_for_long_fails_and_what_is_old_goes", async |house| {
        let (parked, engine) = house.set_aside().await;
        house.clock.advance(days(30));
        let failed = house.until(&parked.id, RunState::Failed).await;
        assert!(failed.message.as_deref().is_some_and(|why| why.starts_with("parked: 5 workers")), "{failed:?}");
        engine.stop().await;
        house.clock.advance(days(90) + SignedDuration::from_secs(1));
        let engine = house.engine("later");
        let gone = async || house.store.flow_run(&parked.id).await.unwrap().is_none().then_some(());
        wait::until_async("the old run to go", PATIENCE, gone).await.unwrap();
        engine.stop().await;
    });
}
