//! The exchange with an engine: what goes in, what comes out, and what happens when the run is somebody else's.

use std::collections::HashMap;
use std::future::Future;
use std::io::Error as IoError;
use std::pin::Pin;
use std::sync::{Arc, Mutex};

use billhook_core::ManualClock;
use billhook_flow::{
    Ctx, Event, Function, Journal, Lost, Memo, Outcome, Record, Request, Result, StepKey, days, function,
};
use jiff::Timestamp;
use serde_json::json;

use crate::World;

/// A journal that takes so many records and then belongs to somebody else.
struct Fenced {
    records: Mutex<Vec<Record>>,
    takes: usize,
}

impl Journal for Fenced {
    fn record(&self, record: Record) -> Pin<Box<dyn Future<Output = Result<(), Lost>> + Send + '_>> {
        let mut records = self.records.lock().unwrap();
        let is_ours = records.len() < self.takes;
        if is_ours {
            records.push(record);
        }
        Box::pin(std::future::ready(if is_ours { Ok(()) } else { Err(Lost) }))
    }
}

async fn execute(
    function: &Function<World>,
    world: &World,
    memos: &[(&str, Memo)],
    takes: usize,
) -> (Outcome, Vec<Record>) {
    let now = Timestamp::from_second(1_800_000_000).unwrap();
    let memos: HashMap<StepKey, Memo> = memos.iter().map(|(id, memo)| (StepKey::new(*id, 1), memo.clone())).collect();
    let request = Request {
        batch: Vec::new(),
        run: "01M7WSG4S1000G40R40M30E20A".to_owned(),
        event: Event::new("evt_1", "app/test", json!({}), now),
        memos: Arc::new(memos),
        failures: 0,
        clock: Arc::new(ManualClock::new(now)),
        chance: 0,
        functions: Arc::default(),
    };
    let journal = Arc::new(Fenced { records: Mutex::default(), takes });
    let outcome = function.execute(Arc::new(world.clone()), request, Arc::clone(&journal) as Arc<dyn Journal>).await;
    let records = std::mem::take(&mut *journal.records.lock().unwrap());
    (outcome, records)
}

async fn two_steps(_event: Event, ctx: Ctx<World>) -> Result<u8> {
    let world = ctx.app();
    let one = ctx
        .step("one", || async {
            Ok::<_, IoError>({
                world.note("one");
                1_u8
            })
        })
        .await?;
    let two = ctx
        .step("two", || async {
            Ok::<_, IoError>({
                world.note("two");
                2_u8
            })
        })
        .await?;
    ctx.sleep("week", days(7)).await;
    Ok(one + two)
}

#[tokio::test]
async fn a_worker_that_lost_its_run_writes_nothing_and_goes_no_further() {
    let (world, function) = (World::default(), function("two", two_steps));
    let (outcome, records) = execute(&function, &world, &[], 0).await;
    assert_eq!((outcome, records), (Outcome::Lost, Vec::new()));
    assert_eq!(world.seen(), ["one"], "the step behind the lost record does not run");
}

#[tokio::test]
async fn a_function_that_waits_is_put_away_with_what_it_waits_for() {
    let (world, function) = (World::default(), function("two", two_steps));
    let (outcome, records) = execute(&function, &world, &[], 9).await;
    let Outcome::Suspended(waits) = outcome else { panic!("{outcome:?}") };
    assert_eq!(waits.len(), 1);
    assert!(waits[0].is_new);
    assert_eq!(waits[0].until().as_second(), 1_800_000_000 + 7 * 86_400);
    assert_eq!(records.iter().map(|record| record.key.to_string()).collect::<Vec<_>>(), ["one", "two"]);
}

#[tokio::test]
async fn ids_and_not_the_order_of_calls_find_what_is_recorded() {
    let (world, function) = (World::default(), function("two", two_steps));
    // Recorded by an older form of the function, which ran its second step first.
    let over = Memo::Sleep { until: Timestamp::from_second(1_800_000_000).unwrap() };
    let memos = [("two", Memo::Done(json!(40))), ("week", over)];
    let (outcome, _) = execute(&function, &world, &memos, 9).await;
    assert_eq!(outcome, Outcome::Finished(json!(41)));
    assert_eq!(world.seen(), ["one"]);
}

#[tokio::test]
async fn a_sleep_is_not_over_before_its_time() {
    let (world, function) = (World::default(), function("two", two_steps));
    let until = Timestamp::from_millisecond(1_800_000_000_001).unwrap();
    let memos = [("one", Memo::Done(json!(1))), ("two", Memo::Done(json!(2))), ("week", Memo::Sleep { until })];
    let (outcome, records) = execute(&function, &world, &memos, 9).await;
    let Outcome::Suspended(waits) = outcome else { panic!("{outcome:?}") };
    assert_eq!((waits.len(), waits[0].is_new, waits[0].until()), (1, false, until));
    assert_eq!((records, world.seen()), (Vec::new(), Vec::new()));
}

#[tokio::test]
async fn an_id_that_changed_its_meaning_parks_the_run() {
    let (world, function) = (World::default(), function("two", two_steps));
    for memo in [("one", Memo::Came(None)), ("week", Memo::Done(json!(1)))] {
        let (outcome, _) = execute(&function, &world, std::slice::from_ref(&memo), 9).await;
        let Outcome::Parked(_, message) = outcome else { panic!("{outcome:?}") };
        assert!(message.contains(memo.0), "{message}");
    }
}
