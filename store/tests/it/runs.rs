//! Sync runs: a second one joins the first, and a run ends with its last segment, however many end at once.

use billhook_store::{Advance, NewRun, NewSegment, RECONCILE, RunSummary, Segment, SegmentEnd, Started, StoreError};

use crate::harness::{Database, at};

/// A run of one segment, asked for at second 1000.
pub fn run(object: &str) -> NewRun {
    NewRun {
        object: object.to_owned(),
        created_gte: None,
        created_lt: None,
        trigger: "command".to_owned(),
        related: false,
        requested_at: at(1000),
        segments: vec![part(None, None)],
    }
}

/// A segment of the stream `all` over a window.
pub fn part(created_gte: Option<i64>, created_lt: Option<i64>) -> NewSegment {
    NewSegment { stream: "all".to_owned(), created_gte, created_lt, cursor: String::new() }
}

/// A page of three objects that leads to `cursor`, committed at second 1010.
pub fn page(segment: &Segment, cursor: &str) -> Advance {
    Advance {
        segment: segment.id,
        token: segment.token,
        cursor: cursor.to_owned(),
        created_gte: segment.created_gte,
        created_low: None,
        objects: 3,
        requests: 1,
        closed: None,
        message: String::new(),
        split: Vec::new(),
        lease_until: at(1100),
        now: at(1010),
    }
}

pub async fn start(database: &Database, run: NewRun) -> Started {
    database.store.start_run(run).await.expect("started")
}

/// Claims at second 1000 until second 1060.
pub async fn claim(database: &Database, holder: &str, limit: usize) -> Vec<Segment> {
    database.store.claim_segments(holder, at(1000), at(1060), limit, false).await.expect("claimed")
}

pub async fn summary(database: &Database, id: i64) -> RunSummary {
    database.store.run(id).await.expect("read").expect("there")
}

async fn close(database: &Database, segment: &Segment, end: SegmentEnd, message: &str) -> bool {
    database.store.close_segment(segment.id, segment.token, end, message, at(1020)).await.expect("closed")
}

on_both! {
    async fn a_run_shows_what_it_was_started_with(database) {
        let database = database.migrated().await;
        let new = NewRun {
            created_gte: Some(10),
            created_lt: Some(500),
            related: true,
            segments: vec![part(Some(10), Some(300)), part(Some(300), Some(500))],
            ..run("customer")
        };
        let Started::New(id) = start(&database, new).await else { panic!("it is the first") };
        let expected = RunSummary {
            id,
            object: "customer".to_owned(),
            created_gte: Some(10),
            created_lt: Some(500),
            trigger: "command".to_owned(),
            related: true,
            end: None,
            requested_at: at(1000),
            finished_at: None,
            objects: 0,
            requests: 0,
            segments_open: 2,
            segments_all: 2,
            message: String::new(),
            created_low: Some(500),
            seconds_unread: Some(490),
        };
        assert_eq!(summary(&database, id).await, expected);
        assert_eq!(expected.state(), "running");
        assert_eq!(database.store.list_runs(10, true).await.expect("read"), [expected]);
        assert_eq!(database.store.run(id + 1).await.expect("read"), None);
    }

    async fn a_run_without_segments_is_refused(database) {
        let database = database.migrated().await;
        let empty = NewRun { segments: Vec::new(), ..run("customer") };
        let refused = database.store.start_run(empty).await;
        assert!(matches!(refused, Err(StoreError::Refused { .. })), "{refused:?}");
        assert!(database.store.list_runs(10, false).await.expect("read").is_empty());
    }

    async fn a_second_run_joins_only_its_like(database) {
        let database = database.migrated().await;
        let Started::New(first) = start(&database, run("customer")).await else { panic!("it is the first") };
        let http = NewRun { trigger: "http".to_owned(), segments: vec![part(None, None); 3], ..run("customer") };
        assert_eq!(start(&database, http).await, Started::Joined(first));
        assert_eq!(summary(&database, first).await.segments_all, 1, "the segments of the first stand");
        let others = [
            run("invoice"),
            NewRun { created_gte: Some(5), ..run("customer") },
            NewRun { created_lt: Some(5), ..run("customer") },
            NewRun { trigger: RECONCILE.to_owned(), ..run("customer") },
        ];
        let mut seen = vec![first];
        for other in others {
            let Started::New(id) = start(&database, other.clone()).await else { panic!("{other:?}") };
            assert!(!seen.contains(&id));
            seen.push(id);
            assert_eq!(start(&database, other).await, Started::Joined(id));
        }
        let listed = database.store.list_runs(10, true).await.expect("read");
        assert_eq!(listed.iter().rev().map(|run| run.id).collect::<Vec<_>>(), seen);
        assert_eq!(database.store.list_runs(2, false).await.expect("read").len(), 2);
    }

    async fn a_joined_run_becomes_related_and_stays_so(database) {
        let database = database.migrated().await;
        let id = start(&database, run("customer")).await.run();
        for (related, expected) in [(false, false), (true, true), (false, true)] {
            assert_eq!(start(&database, NewRun { related, ..run("customer") }).await, Started::Joined(id));
            assert_eq!(summary(&database, id).await.related, expected);
        }
        assert!(claim(&database, "a", 1).await[0].related);
    }

    async fn of_many_that_start_at_once_one_makes_the_run(database) {
        let database = database.migrated().await;
        for round in 0..5 {
            let tasks: Vec<_> = (0..6)
                .map(|_| {
                    let database = database.clone();
                    tokio::spawn(async move { start(&database, run(&format!("kind_{round}"))).await })
                })
                .collect();
            let mut started = Vec::new();
            for task in tasks {
                started.push(task.await.expect("no panic"));
            }
            assert_eq!(started.iter().filter(|started| matches!(started, Started::New(_))).count(), 1, "{started:?}");
            assert!(started.iter().all(|other| other.run() == started[0].run()), "{started:?}");
            assert_eq!(summary(&database, started[0].run()).await.segments_all, 1);
        }
    }

    async fn an_ended_run_is_not_joined(database) {
        let database = database.migrated().await;
        let first = start(&database, run("customer")).await.run();
        let segment = claim(&database, "a", 1).await.remove(0);
        assert!(close(&database, &segment, SegmentEnd::Done, "").await);
        let Started::New(second) = start(&database, run("customer")).await else { panic!("the first has ended") };
        assert!(second > first);
        let open = database.store.list_runs(10, true).await.expect("read");
        assert_eq!(open.iter().map(|run| run.id).collect::<Vec<_>>(), [second]);
    }

    async fn a_run_ends_with_its_last_segment_as_the_worst_of_them(database) {
        let database = database.migrated().await;
        use SegmentEnd::{Done, Failed, NoPermission, NotAvailable};
        for (number, (ends, expected)) in [
            (vec![Done, Done], Done),
            (vec![NotAvailable, Done], NotAvailable),
            (vec![NotAvailable, NoPermission, Done], NoPermission),
            (vec![Done, Failed, NoPermission], Failed),
        ]
        .into_iter()
        .enumerate()
        {
            let segments = vec![part(None, None); ends.len()];
            let id = start(&database, NewRun { segments, ..run(&format!("kind_{number}")) }).await.run();
            let claimed = claim(&database, "a", 10).await;
            for (segment, end) in claimed.iter().zip(&ends) {
                assert_eq!(summary(&database, id).await.end, None);
                assert!(close(&database, segment, *end, end.name()).await);
                assert!(!close(&database, segment, Done, "").await, "it has ended");
            }
            let summary = summary(&database, id).await;
            assert_eq!((summary.end, summary.state()), (Some(expected), expected.name()));
            assert_eq!(summary.finished_at, Some(at(1020)));
            assert_eq!((summary.segments_open, summary.segments_all), (0, ends.len() as u64));
        }
    }

    async fn a_run_ends_when_its_last_segments_end_at_once(database) {
        let database = database.migrated().await;
        for round in 0..10 {
            let new = NewRun { segments: vec![part(None, None); 4], ..run(&format!("kind_{round}")) };
            let id = start(&database, new).await.run();
            let tasks: Vec<_> = claim(&database, "a", 10)
                .await
                .into_iter()
                .enumerate()
                .map(|(number, segment)| {
                    let database = database.clone();
                    tokio::spawn(async move {
                        if number % 2 == 0 {
                            let last = Advance { closed: Some(SegmentEnd::Done), ..page(&segment, "end") };
                            database.advance(last).await
                        } else {
                            close(&database, &segment, SegmentEnd::NotAvailable, "").await
                        }
                    })
                })
                .collect();
            assert_eq!(tasks.len(), 4);
            for task in tasks {
                assert!(task.await.expect("no panic"));
            }
            let summary = summary(&database, id).await;
            assert_eq!((summary.end, summary.segments_open), (Some(SegmentEnd::NotAvailable), 0), "round {round}");
            assert_eq!((summary.objects, summary.requests), (6, 2));
        }
    }

    async fn the_last_page_may_split_and_then_the_run_goes_on(database) {
        let database = database.migrated().await;
        let id = start(&database, run("customer")).await.run();
        let segment = claim(&database, "a", 1).await.remove(0);
        let last = Advance { closed: Some(SegmentEnd::Done), split: vec![part(None, Some(50))], ..page(&segment, "end") };
        assert!(database.advance(last).await);
        let running = summary(&database, id).await;
        assert_eq!((running.end, running.segments_open, running.segments_all), (None, 1, 2));
    }

    async fn progress_is_that_of_the_slowest_open_segment(database) {
        let database = database.migrated().await;
        let segments = vec![part(Some(100), Some(200)), part(Some(200), Some(300))];
        let id = start(&database, NewRun { segments, ..run("customer") }).await.run();
        let claimed = claim(&database, "a", 2).await;
        let lower = Advance { created_low: Some(150), ..page(&claimed[0], "x") };
        assert!(database.advance(lower).await);
        let shown = async || {
            let summary = summary(&database, id).await;
            (summary.created_low, summary.seconds_unread)
        };
        assert_eq!(shown().await, (Some(300), Some(150)));
        assert!(database.advance(Advance { created_low: Some(220), ..page(&claimed[1], "y") }).await);
        assert_eq!(shown().await, (Some(220), Some(70)));
        // An object that is older than its page's neighbours does not take progress back.
        assert!(database.advance(Advance { created_low: Some(230), ..page(&claimed[1], "z") }).await);
        assert_eq!(shown().await, (Some(220), Some(70)));
        assert!(close(&database, &claimed[1], SegmentEnd::Done, "").await);
        assert_eq!(shown().await, (Some(150), Some(50)));
        assert!(close(&database, &claimed[0], SegmentEnd::Done, "").await);
        assert_eq!(shown().await, (None, Some(0)));
    }

    async fn progress_without_bounds_is_unknown(database) {
        let database = database.migrated().await;
        let id = start(&database, NewRun { segments: vec![part(None, Some(300)), part(None, None)], ..run("customer") }).await.run();
        let shown = summary(&database, id).await;
        assert_eq!((shown.created_low, shown.seconds_unread), (None, None));
        let claimed = claim(&database, "a", 2).await;
        assert!(database.advance(Advance { created_low: Some(400), ..page(&claimed[1], "x") }).await);
        let shown = summary(&database, id).await;
        assert_eq!((shown.created_low, shown.seconds_unread), (Some(400), None));
    }

    async fn the_latest_message_is_shown_until_all_is_well(database) {
        let database = database.migrated().await;
        let id = start(&database, NewRun { segments: vec![part(None, None); 2], ..run("customer") }).await.run();
        let claimed = claim(&database, "a", 2).await;
        let postponed = database.store.postpone_segment(claimed[0].id, claimed[0].token, at(1030), "Stripe is away", at(1005));
        assert!(postponed.await.expect("written"));
        assert_eq!(summary(&database, id).await.message, "Stripe is away");
        assert!(close(&database, &claimed[1], SegmentEnd::Failed, "the list contradicts itself").await);
        assert_eq!(summary(&database, id).await.message, "the list contradicts itself");
        let again = database.store.claim_segments("a", at(1030), at(1060), 1, false).await.expect("claimed").remove(0);
        assert!(database.advance(page(&again, "x")).await);
        assert_eq!(summary(&database, id).await.message, "the list contradicts itself");
        assert!(database.advance(Advance { message: "paused".to_owned(), now: at(1040), ..page(&again, "y") }).await);
        assert_eq!(summary(&database, id).await.message, "paused");
    }

    async fn only_ended_runs_are_pruned(database) {
        let database = database.migrated().await;
        let mut ids = Vec::new();
        for kind in ["a", "b", "c"] {
            ids.push(start(&database, run(kind)).await.run());
        }
        for (segment, ended_at) in claim(&database, "a", 2).await.into_iter().zip([2000, 3000]) {
            let closed = database.store.close_segment(segment.id, segment.token, SegmentEnd::Done, "", at(ended_at));
            assert!(closed.await.expect("closed"));
        }
        assert_eq!(database.store.prune_runs(at(2000), 10).await.expect("pruned"), 0);
        assert_eq!(database.store.prune_runs(at(9000), 1).await.expect("pruned"), 1);
        assert_eq!(database.store.run(ids[0]).await.expect("read"), None);
        assert_eq!(database.store.prune_runs(at(9000), 10).await.expect("pruned"), 1);
        let left = database.store.list_runs(10, false).await.expect("read");
        assert_eq!(left.iter().map(|run| run.id).collect::<Vec<_>>(), [ids[2]]);
        let count = format!("SELECT count(*) FROM {}", database.own("sync_segments"));
        assert_eq!(database.value(&count, &count).await.as_deref(), Some("1"));
    }
}
