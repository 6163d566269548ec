//! Objects that have to be read again, and when.

use billhook_store::DirtyMark;

use crate::harness::{at, texts};

fn mark(id: &str, reason: &str, event_id: &str, not_before: i64) -> DirtyMark {
    DirtyMark {
        object: "thing".to_owned(),
        id: id.to_owned(),
        account: "acct_1".to_owned(),
        reason: reason.to_owned(),
        event_id: event_id.to_owned(),
        not_before: at(not_before),
    }
}

on_both! {
    async fn marks_are_due_in_their_time(database) {
        let database = database.migrated().await;
        let (early, late) = (mark("b", "tie", "evt_1", 100), mark("a", "thin_event", "evt_2", 200));
        database.mark_dirty(vec![late.clone(), early.clone()]).await;
        assert_eq!(database.store.due_dirty(at(99), 10).await.expect("read"), []);
        assert_eq!(database.store.due_dirty(at(100), 10).await.expect("read"), std::slice::from_ref(&early));
        assert_eq!(database.store.due_dirty(at(999), 10).await.expect("read"), [early.clone(), late]);
        assert_eq!(database.store.due_dirty(at(999), 1).await.expect("read"), [early]);
    }

    async fn a_second_mark_keeps_the_later_time(database) {
        let database = database.migrated().await;
        database.mark_dirty(vec![mark("a", "tie", "evt_1", 100)]).await;
        database.mark_dirty(vec![mark("a", "tie", "evt_1", 300)]).await;
        database.mark_dirty(vec![mark("a", "tie", "evt_1", 200)]).await;
        let due = database.store.due_dirty(at(999), 10).await.expect("read");
        assert_eq!(due.iter().map(|due| due.not_before).collect::<Vec<_>>(), [at(300)]);
    }

    async fn settling_a_thin_event_keeps_the_mark_of_a_tie(database) {
        let database = database.migrated().await;
        let tie = mark("a", "tie", "", 100);
        database.mark_dirty(vec![tie.clone()]).await;
        database.mark_dirty(vec![mark("a", "thin_event", "evt_1", 300)]).await;
        database.clear_dirty_of_events(texts(&["evt_1"])).await;
        assert_eq!(database.store.due_dirty(at(999), 10).await.expect("read"), [tie]);
    }

    async fn reasons_do_not_hide_each_other(database) {
        let database = database.migrated().await;
        let (doubt, related) = (mark("a", "api_version", "", 100), mark("a", "related", "", 200));
        database.mark_dirty(vec![doubt.clone()]).await;
        database.mark_dirty(vec![related.clone()]).await;
        assert_eq!(database.store.due_dirty(at(999), 10).await.expect("read"), [doubt.clone(), related.clone()]);
        database.unmark_dirty(vec![DirtyMark { not_before: at(199), ..related.clone() }]).await;
        assert_eq!(database.store.due_dirty(at(999), 10).await.expect("read").len(), 2, "it asks for a later read");
        database.unmark_dirty(vec![related]).await;
        assert_eq!(database.store.due_dirty(at(999), 10).await.expect("read"), [doubt]);
    }

    async fn marks_are_cleared_by_object(database) {
        let database = database.migrated().await;
        let other = DirtyMark { object: "owner".to_owned(), ..mark("a", "tie", "evt_1", 100) };
        database.mark_dirty(vec![mark("a", "tie", "evt_1", 100), other.clone()]).await;
        let objects = vec![("thing".to_owned(), "a".to_owned()), ("thing".to_owned(), "missing".to_owned())];
        database.clear_dirty(objects.clone(), at(99)).await;
        assert_eq!(database.store.due_dirty(at(999), 10).await.expect("read").len(), 2, "they ask for a later read");
        database.clear_dirty(objects, at(100)).await;
        assert_eq!(database.store.due_dirty(at(999), 10).await.expect("read"), [other]);
    }

    async fn marks_are_cleared_by_the_event_that_settles_them(database) {
        let database = database.migrated().await;
        let unnamed = mark("c", "truncated_list", "", 100);
        let marks = vec![mark("a", "thin_event", "evt_1", 100), mark("b", "thin_event", "evt_2", 100), unnamed.clone()];
        database.mark_dirty(marks).await;
        database.clear_dirty_of_events(texts(&["evt_1", "evt_9", ""])).await;
        let due = database.store.due_dirty(at(999), 10).await.expect("read");
        assert_eq!(due, [mark("b", "thin_event", "evt_2", 100), unnamed]);
    }

    async fn a_read_that_failed_is_put_off(database) {
        let database = database.migrated().await;
        let marks = vec![mark("a", "tie", "evt_1", 100), mark("a", "thin_event", "evt_2", 400), mark("b", "tie", "", 100)];
        database.mark_dirty(marks).await;
        let objects = [("thing".to_owned(), "a".to_owned()), ("thing".to_owned(), "missing".to_owned())];
        database.store.postpone_dirty(&objects, at(300)).await.expect("written");
        let due = async |now| {
            let due = database.store.due_dirty(at(now), 10).await.expect("read");
            due.iter().map(|mark| format!("{} {}", mark.id, mark.not_before.as_second())).collect::<Vec<_>>()
        };
        assert_eq!(due(299).await, ["b 100"]);
        assert_eq!(due(999).await, ["b 100", "a 300", "a 400"]);
    }

    async fn marked_objects_are_counted_by_kind(database) {
        let database = database.migrated().await;
        let owner = DirtyMark { object: "owner".to_owned(), ..mark("a", "tie", "evt_1", 100) };
        let twice = [mark("a", "tie", "evt_1", 100), mark("a", "thin_event", "evt_2", 100), mark("b", "tie", "", 900)];
        database.mark_dirty(twice.into_iter().chain([owner]).collect()).await;
        let counts = database.store.dirty_count().await.expect("counted");
        assert_eq!(counts, [("owner".to_owned(), 1), ("thing".to_owned(), 2)]);
    }
}
