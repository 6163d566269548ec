//! The queue of unapplied deliveries: each is taken by exactly one transaction that commits.

use billhook_store::{Delivery, StoreError, Transaction, Work};

use crate::harness::{at, delivery, texts};

/// Claims, and then fails.
struct ClaimAndFail(Vec<i64>);

impl Work for ClaimAndFail {
    type Output = ();

    async fn run<T: Transaction>(self, transaction: &mut T) -> Result<(), StoreError> {
        assert_eq!(transaction.claim(&self.0).await?, self.0);
        Err(StoreError::Configuration("on purpose".to_owned()))
    }
}

/// Waits for something that is not the transaction.
struct WaitForOthers(Vec<i64>);

impl Work for WaitForOthers {
    type Output = ();

    async fn run<T: Transaction>(self, transaction: &mut T) -> Result<(), StoreError> {
        transaction.claim(&self.0).await?;
        tokio::task::yield_now().await;
        Ok(())
    }
}

/// Has a defect.
struct Panic(Vec<i64>);

impl Work for Panic {
    type Output = ();

    async fn run<T: Transaction>(self, transaction: &mut T) -> Result<(), StoreError> {
        transaction.claim(&self.0).await?;
        panic!("a defect on purpose");
    }
}

on_both! {
    async fn the_oldest_come_first(database) {
        let database = database.migrated().await;
        let sequences = database.receive(&["evt_1", "evt_2", "evt_3"]).await;
        let pending = database.store.pending_deliveries(at(9999), Vec::new(), 2, usize::MAX).await.expect("read");
        let found: Vec<_> = pending.iter().map(|found| (found.sequence, found.event_id.as_str(), found.received_at)).collect();
        assert_eq!(found, [(sequences[0], "evt_1", at(1000)), (sequences[1], "evt_2", at(1001))]);
        assert_eq!(pending[0].raw, delivery("evt_1", 0).raw);
    }

    async fn only_what_was_received_before(database) {
        let database = database.migrated().await;
        database.receive(&["evt_1", "evt_2", "evt_3"]).await;
        let pending = database.store.pending_deliveries(at(1001), Vec::new(), 10, usize::MAX).await.expect("read");
        assert_eq!(pending.iter().map(|found| found.event_id.as_str()).collect::<Vec<_>>(), ["evt_1"]);
    }

    async fn what_is_excluded_does_not_come(database) {
        let database = database.migrated().await;
        let sequences = database.receive(&["evt_1", "evt_2", "evt_3"]).await;
        let excluded = vec![sequences[2], sequences[0], 9_999];
        let pending = database.store.pending_deliveries(at(9999), excluded, 10, usize::MAX).await.expect("read");
        assert_eq!(pending.iter().map(|found| found.event_id.as_str()).collect::<Vec<_>>(), ["evt_2"]);
    }

    async fn bodies_are_bounded_but_one_always_comes(database) {
        let database = database.migrated().await;
        let large = |event_id: &str| Delivery { raw: vec![b'x'; 10_000].into(), ..delivery(event_id, 1000) };
        let batch = vec![large("evt_1"), large("evt_2"), large("evt_3")];
        database.store.insert_deliveries(batch).await.expect("written");
        let count = async |bytes| database.store.pending_deliveries(at(9999), Vec::new(), 10, bytes).await.expect("read").len();
        assert_eq!(count(1).await, 1);
        assert_eq!(count(20_000).await, 2);
        assert_eq!(count(usize::MAX).await, 3);
    }

    async fn a_claim_takes_what_is_there_ascending(database) {
        let database = database.migrated().await;
        let sequences = database.receive(&["evt_1", "evt_2", "evt_3"]).await;
        assert_eq!(database.claim(vec![sequences[2], 999_999, sequences[0]]).await, [sequences[0], sequences[2]]);
        assert_eq!(database.claim(sequences.clone()).await, [sequences[1]]);
        assert_eq!(database.claim(sequences).await, Vec::<i64>::new());
        assert_eq!(database.claim(Vec::new()).await, Vec::<i64>::new());
    }

    async fn of_two_that_claim_at_once_one_gets_it(database) {
        let database = database.migrated().await;
        let ids: Vec<String> = (0..60).map(|number| format!("evt_{number}")).collect();
        let sequences = database.receive(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
        let claimers: Vec<_> = (0..6)
            .map(|claimer| {
                let database = database.clone();
                let mut wanted = sequences.clone();
                wanted.rotate_left(claimer * 10);
                tokio::spawn(async move { database.claim(wanted).await })
            })
            .collect();
        let mut claimed = Vec::new();
        for claimer in claimers {
            claimed.extend(claimer.await.expect("no panic"));
        }
        claimed.sort_unstable();
        assert_eq!(claimed, sequences);
    }

    async fn an_error_gives_everything_back(database) {
        let database = database.migrated().await;
        let sequences = database.receive(&["evt_1", "evt_2"]).await;
        let failed = database.store.transact(ClaimAndFail(sequences.clone())).await;
        assert!(matches!(failed, Err(StoreError::Configuration(_))), "{failed:?}");
        assert_eq!(database.pending().await, sequences);
    }

    async fn one_failure_among_many_undoes_only_itself(database) {
        let database = database.migrated().await;
        let ids: Vec<String> = (0..20).map(|number| format!("evt_{number}")).collect();
        let sequences = database.receive(&ids.iter().map(String::as_str).collect::<Vec<_>>()).await;
        let tasks: Vec<_> = sequences
            .iter()
            .map(|&sequence| {
                let database = database.clone();
                tokio::spawn(async move {
                    if sequence % 2 == 0 {
                        database.store.transact(ClaimAndFail(vec![sequence])).await.expect_err("fails on purpose");
                    } else {
                        assert_eq!(database.claim(vec![sequence]).await, [sequence]);
                    }
                })
            })
            .collect();
        for task in tasks {
            task.await.expect("no panic");
        }
        let left: Vec<i64> = sequences.into_iter().filter(|sequence| sequence % 2 == 0).collect();
        assert_eq!(database.pending().await, left);
    }

    async fn released_deliveries_wait_again(database) {
        let database = database.migrated().await;
        let sequences = database.receive(&["evt_1", "evt_2"]).await;
        database.claim(sequences.clone()).await;
        database.release(texts(&["evt_2", "evt_unknown"])).await;
        assert_eq!(database.pending().await, [sequences[1]]);
        database.release(texts(&["evt_2"])).await;
        assert_eq!(database.claim(sequences.clone()).await, [sequences[1]]);
    }

    async fn replay_puts_back_what_exists(database) {
        let database = database.migrated().await;
        let sequences = database.receive(&["evt_1", "evt_2"]).await;
        database.claim(sequences.clone()).await;
        assert_eq!(database.store.replay(&texts(&["evt_1", "evt_unknown"])).await.expect("replayed"), 1);
        assert_eq!(database.pending().await, [sequences[0]]);
        assert_eq!(database.store.replay(&texts(&["evt_1"])).await.expect("replayed"), 1);
        assert_eq!(database.pending().await, [sequences[0]]);
    }

    async fn events_are_found_by_their_ids(database) {
        let database = database.migrated().await;
        let sequences = database.receive(&["evt_1", "evt_2"]).await;
        let mut found = database.events_of(texts(&["evt_2", "evt_none", "evt_1"])).await;
        found.sort_by_key(|delivery| delivery.sequence);
        assert_eq!(found.iter().map(|delivery| delivery.sequence).collect::<Vec<_>>(), sequences);
        assert_eq!(found[1].raw, delivery("evt_2", 0).raw);
        let mut known = database.known_events(texts(&["evt_none", "evt_2", "evt_1"])).await;
        known.sort();
        assert_eq!(known, ["evt_1", "evt_2"]);
    }
}

#[test]
fn on_sqlite_work_that_waits_is_refused() {
    crate::harness::on_sqlite(|database| async {
        let database = database.migrated().await;
        let sequences = database.receive(&["evt_1"]).await;
        let refused = database.store.transact(WaitForOthers(sequences.clone())).await;
        assert!(matches!(refused, Err(StoreError::Refused { .. })), "{refused:?}");
        assert_eq!(database.pending().await, sequences);
    });
}

#[test]
fn on_sqlite_a_panic_leaves_the_writer_at_work() {
    crate::harness::on_sqlite(|database| async {
        let database = database.migrated().await;
        let sequences = database.receive(&["evt_1"]).await;
        let refused = database.store.transact(Panic(sequences.clone())).await;
        assert!(matches!(refused, Err(StoreError::Refused { .. })), "{refused:?}");
        assert_eq!(database.claim(sequences.clone()).await, sequences);
    });
}
