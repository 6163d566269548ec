//! Segments are worked on by one at a time: leases end, tokens fence off whoever had one before, and pages count once.

use std::collections::HashSet;

use billhook_core::row::Row;
use billhook_store::{
    Advance, Guard, NewRun, NewSegment, RECONCILE, Segment, SegmentEnd, StoreError, Transaction, Work,
};

use crate::harness::{Database, at};
use crate::runs::{claim, page, part, run, start, summary};
use crate::tables::{self, row};

async fn claim_at(database: &Database, holder: &str, now: i64, until: i64) -> Vec<Segment> {
    database.store.claim_segments(holder, at(now), at(until), 10, false).await.expect("claimed")
}

async fn renew(database: &Database, holder: &str, segment: &Segment, until: i64) -> bool {
    let held = [(segment.id, segment.token)];
    let renewed = database.store.renew_segments(holder, &held, at(until)).await.expect("renewed");
    assert!(renewed.is_empty() || renewed == [segment.id]);
    !renewed.is_empty()
}

/// A page with its row, as a worker commits it.
struct Page {
    row: Row,
    advance: Advance,
}

impl Work for Page {
    type Output = ();

    async fn run<T: Transaction>(self, transaction: &mut T) -> Result<(), StoreError> {
        transaction.upsert(tables::things(), &[self.row], Guard::Newer).await?;
        match transaction.advance_segment(&self.advance).await? {
            true => Ok(()),
            false => Err(StoreError::Conflict("fenced off".to_owned())),
        }
    }
}

on_both! {
    async fn a_claimed_segment_is_complete(database) {
        let database = database.migrated().await;
        let segment = NewSegment { stream: "active=false".to_owned(), created_gte: Some(1), created_lt: Some(9), cursor: "x".to_owned() };
        let id = start(&database, NewRun { related: true, segments: vec![segment], ..run("price") }).await.run();
        let claimed = claim(&database, "a", 10).await.remove(0);
        let expected = Segment {
            id: claimed.id,
            run: id,
            object: "price".to_owned(),
            stream: "active=false".to_owned(),
            created_gte: Some(1),
            created_lt: Some(9),
            cursor: "x".to_owned(),
            token: 1,
            trigger: "command".to_owned(),
            related: true,
            requested_at: at(1000),
            attempts: 0,
        };
        assert_eq!(claimed, expected);
    }

    async fn segments_are_claimed_in_their_order_and_up_to_a_limit(database) {
        let database = database.migrated().await;
        let segments = (0..5).map(|number| part(Some(number), None)).collect();
        start(&database, NewRun { segments, ..run("customer") }).await;
        start(&database, NewRun { requested_at: at(999), segments: vec![part(Some(9), None)], ..run("invoice") }).await;
        let order = |claimed: Vec<Segment>| claimed.into_iter().map(|segment| segment.created_gte).collect::<Vec<_>>();
        assert_eq!(order(claim(&database, "a", 3).await), [Some(9), Some(0), Some(1)]);
        assert_eq!(order(claim(&database, "b", 9).await), [Some(2), Some(3), Some(4)]);
        assert!(claim(&database, "b", 9).await.is_empty());
    }

    async fn the_rolling_re_list_is_claimed_apart(database) {
        let database = database.migrated().await;
        let id = start(&database, NewRun { trigger: RECONCILE.to_owned(), ..run("customer") }).await.run();
        assert!(claim(&database, "a", 9).await.is_empty());
        let claimed = database.store.claim_segments("a", at(1000), at(1060), 9, true).await.expect("claimed");
        assert_eq!(claimed.iter().map(|segment| (segment.run, segment.trigger.as_str())).collect::<Vec<_>>(), [(id, RECONCILE)]);
        let page = Advance { split: vec![part(None, Some(5))], ..page(&claimed[0], "x") };
        assert!(database.advance(page).await);
        assert!(claim(&database, "a", 9).await.is_empty(), "a part is of the same sort");
    }

    async fn an_ended_lease_is_claimed_again_and_fences_off_the_first(database) {
        let database = database.migrated().await;
        let id = start(&database, run("customer")).await.run();
        let first = claim_at(&database, "a", 1000, 1060).await.remove(0);
        assert!(claim_at(&database, "b", 1059, 1100).await.is_empty());
        let second = claim_at(&database, "b", 1060, 1120).await.remove(0);
        assert_eq!((second.id, second.token), (first.id, first.token + 1));

        assert!(!renew(&database, "a", &first, 2000).await);
        let row = row(tables::things(), "thing_1", 10);
        let refused = database.store.transact(Page { row: row.clone(), advance: page(&first, "old") }).await;
        assert!(matches!(refused, Err(StoreError::Conflict(_))), "{refused:?}");
        assert!(!database.has("things", "thing_1").await, "nothing of a fenced page is written");
        assert!(!database.advance(Advance { closed: Some(SegmentEnd::Done), ..page(&first, "end") }).await);
        assert!(!database.store.postpone_segment(first.id, first.token, at(1), "", at(1)).await.expect("answered"));
        assert!(!database.store.close_segment(first.id, first.token, SegmentEnd::Failed, "", at(1)).await.expect("answered"));
        assert_eq!((summary(&database, id).await.objects, summary(&database, id).await.end), (0, None));

        database.store.transact(Page { row, advance: page(&second, "new") }).await.expect("committed");
        assert!(database.has("things", "thing_1").await);
        assert_eq!((summary(&database, id).await.objects, summary(&database, id).await.requests), (3, 1));
    }

    async fn a_page_moves_the_cursor_and_lengthens_the_lease(database) {
        let database = database.migrated().await;
        start(&database, run("customer")).await;
        let segment = claim_at(&database, "a", 1000, 1060).await.remove(0);
        assert!(database.advance(page(&segment, "cus_100")).await);
        assert!(claim_at(&database, "b", 1099, 1200).await.is_empty(), "the page lengthened it to 1100");
        assert!(renew(&database, "a", &segment, 1150).await);
        assert!(claim_at(&database, "b", 1149, 1200).await.is_empty());
        let taken = claim_at(&database, "b", 1150, 1200).await.remove(0);
        assert_eq!(taken.cursor, "cus_100");
    }

    async fn a_page_may_give_its_lower_part_away(database) {
        let database = database.migrated().await;
        let id = start(&database, NewRun { segments: vec![part(Some(0), Some(1000))], ..run("customer") }).await.run();
        let segment = claim(&database, "a", 1).await.remove(0);
        let split = vec![part(Some(0), Some(250)), NewSegment { cursor: "c".to_owned(), ..part(Some(250), Some(500)) }];
        assert!(database.advance(Advance { created_gte: Some(500), split, ..page(&segment, "x") }).await);
        assert_eq!(summary(&database, id).await.segments_open, 3);
        assert!(claim_at(&database, "b", 1009, 1100).await.is_empty(), "the parts are free from the page's commit on");
        let parts = claim_at(&database, "b", 1010, 1100).await;
        let bounds: Vec<_> = parts.iter().map(|part| (part.created_gte, part.created_lt, part.cursor.as_str(), part.run)).collect();
        assert_eq!(bounds, [(Some(0), Some(250), "", id), (Some(250), Some(500), "c", id)]);
        let again = claim_at(&database, "c", 1100, 1200).await;
        let whole = again.iter().find(|again| again.id == segment.id).expect("its lease ended");
        assert_eq!((whole.created_gte, whole.created_lt, whole.cursor.as_str()), (Some(500), Some(1000), "x"));
    }

    async fn a_postponed_segment_waits_and_counts_its_failures(database) {
        let database = database.migrated().await;
        start(&database, run("customer")).await;
        let mut now = 1000;
        for attempts in 0..3 {
            let segment = claim_at(&database, "a", now, now + 60).await.remove(0);
            assert_eq!(segment.attempts, attempts);
            now += 30;
            let postponed = database.store.postpone_segment(segment.id, segment.token, at(now), "later", at(now - 5)).await;
            assert!(postponed.expect("written"));
            assert!(claim_at(&database, "b", now - 1, now + 60).await.is_empty());
            assert!(!database.advance(page(&segment, "x")).await, "the lease was given back");
        }
        let segment = claim_at(&database, "a", now, now + 60).await.remove(0);
        assert!(database.advance(Advance { lease_until: at(now + 1), ..page(&segment, "x") }).await);
        let segment = claim_at(&database, "a", now + 1, now + 60).await.remove(0);
        assert_eq!(segment.attempts, 0, "a page was committed");
    }

    async fn at_an_orderly_stop_others_go_on_at_once(database) {
        let database = database.migrated().await;
        start(&database, NewRun { segments: vec![part(None, None); 3], ..run("customer") }).await;
        let mine = claim(&database, "a", 2).await;
        let other = claim(&database, "b", 1).await.remove(0);
        assert!(database.advance(page(&mine[0], "x")).await);
        assert_eq!(database.store.release_segments("a", at(1011)).await.expect("released"), 2);
        assert!(!database.advance(page(&mine[0], "y")).await);
        assert!(!renew(&database, "a", &mine[0], 2000).await);
        let taken = claim_at(&database, "c", 1011, 1100).await;
        assert_eq!(taken.iter().map(|segment| segment.cursor.as_str()).collect::<Vec<_>>(), ["x", ""]);
        assert!(database.advance(page(&other, "z")).await, "leases of others stand");
    }

    async fn a_lease_is_only_lengthened_for_its_holder(database) {
        let database = database.migrated().await;
        start(&database, run("customer")).await;
        let segment = claim(&database, "a", 1).await.remove(0);
        assert!(!renew(&database, "b", &segment, 2000).await);
        assert!(renew(&database, "a", &segment, 2000).await);
        assert!(database.store.close_segment(segment.id, segment.token, SegmentEnd::Done, "", at(1)).await.expect("closed"));
        assert!(!renew(&database, "a", &segment, 3000).await);
        assert!(!database.advance(page(&segment, "x")).await);
        assert!(claim_at(&database, "b", 9000, 9001).await.is_empty());
    }

    async fn two_that_claim_at_once_never_share(database) {
        let database = database.migrated().await;
        start(&database, NewRun { segments: vec![part(None, None); 40], ..run("customer") }).await;
        let tasks: Vec<_> = (0..8)
            .map(|number| {
                let database = database.clone();
                tokio::spawn(async move {
                    let mut mine = Vec::new();
                    for _ in 0..5 {
                        mine.extend(claim(&database, &format!("node {number}"), 2).await);
                    }
                    mine
                })
            })
            .collect();
        let mut seen = HashSet::new();
        for task in tasks {
            for segment in task.await.expect("no panic") {
                assert!(seen.insert(segment.id), "{} was claimed twice", segment.id);
                assert_eq!(segment.token, 1);
            }
        }
        // Whoever passes over a locked one may find nothing more in its turn; what is left is there for the next.
        for segment in claim(&database, "last", 40).await {
            assert!(seen.insert(segment.id), "{} was claimed twice", segment.id);
        }
        assert_eq!(seen.len(), 40);
    }
}
