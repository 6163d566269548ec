//! The hook that settles what events cannot decide.

use billhook_mirror::interpret::Policy;
use billhook_mirror::projection::CompletedList;
use billhook_mirror::reread::{ObjectSource, Read, Unreadable, reread};
use jiff::Timestamp;
use serde_json::json;

use crate::harness::{Mirror, event, on_each_store};

const T: i64 = 1_700_000_000;

/// A Stripe that answers every read alike.
struct Answer(Read);

impl ObjectSource for Answer {
    async fn read(&self, object: &str, id: &str, account: &str) -> Read {
        assert_eq!((object, id, account), ("product", "prod_1", ""));
        self.0.clone()
    }
}

async fn tied(mirror: &Mirror) {
    let object = |name: &str| json!({ "id": "prod_1", "object": "product", "name": name });
    mirror.deliver(&[event("evt_a", "product.updated", T, object("one"), None)]).await;
    mirror.deliver(&[event("evt_b", "product.updated", T, object("two"), None)]).await;
}

async fn read(mirror: &Mirror, answer: Read, now: i64) -> usize {
    let now = Timestamp::from_second(now).unwrap();
    reread(&mirror.store, &Answer(answer), &Policy::default(), now, 10).await.unwrap().settled
}

#[test]
fn a_read_settles_a_tie_once_the_second_is_over() {
    on_each_store(async |mirror: Mirror| {
        tied(&mirror).await;
        let json = json!({ "id": "prod_1", "object": "product", "name": "truth" }).to_string();
        let found = |read_at| Read::Found { json: json.clone(), read_at, lists: Vec::new() };
        assert_eq!(read(&mirror, found(T + 1), T + 1).await, 0, "the tied second is not over for long enough");
        assert_eq!(read(&mirror, found(T + 2), T + 2).await, 1);
        assert_eq!(mirror.object("products", "prod_1").await.unwrap()["name"], "truth");
        assert_eq!(mirror.dirty().await, []);
    });
}

#[test]
fn a_read_that_finds_nothing_removes_the_row() {
    on_each_store(async |mirror: Mirror| {
        tied(&mirror).await;
        assert_eq!(read(&mirror, Read::Gone { read_at: T + 2 }, T + 2).await, 1);
        assert_eq!(mirror.object("products", "prod_1").await, None);
    });
}

#[test]
fn a_read_that_fails_keeps_the_mark() {
    on_each_store(async |mirror: Mirror| {
        tied(&mirror).await;
        assert_eq!(read(&mirror, Read::Later, T + 2).await, 0);
        assert_eq!(mirror.dirty().await.len(), 1);
    });
}

#[test]
fn a_read_that_can_never_be_made_takes_the_mark_away() {
    on_each_store(async |mirror: Mirror| {
        tied(&mirror).await;
        read(&mirror, Read::Never(Unreadable::NoPermission), T + 2).await;
        assert_eq!(mirror.dirty().await, []);
    });
}

#[test]
fn a_read_before_the_tied_second_was_over_at_stripe_leaves_the_mark() {
    on_each_store(async |mirror: Mirror| {
        tied(&mirror).await;
        let json = json!({ "id": "prod_1", "object": "product", "name": "perhaps" }).to_string();
        // Our clock is ahead of Stripe's.
        read(&mirror, Read::Found { json, read_at: T, lists: Vec::new() }, T + 2).await;
        assert_eq!(mirror.dirty().await.len(), 1);
    });
}

#[test]
fn an_event_inside_the_second_of_a_read_is_newer_whichever_comes_first() {
    on_each_store(async |mirror: Mirror| {
        tied(&mirror).await;
        let json = json!({ "id": "prod_1", "object": "product", "name": "truth" }).to_string();
        let found = Read::Found { json, read_at: T + 2, lists: Vec::new() };
        let object = json!({ "id": "prod_1", "object": "product", "name": "later" });
        let later = event("evt_c", "product.updated", T + 2, object, None);
        read(&mirror, found.clone(), T + 2).await;
        assert_eq!(mirror.object("products", "prod_1").await.unwrap()["name"], "truth");
        mirror.deliver(std::slice::from_ref(&later)).await;
        assert_eq!(mirror.object("products", "prod_1").await.unwrap()["name"], "later");
        // The event was on its way into the row while the object was being read.
        mirror
            .deliver(&[event(
                "evt_d",
                "product.updated",
                T + 2,
                json!({ "id": "prod_1", "object": "product", "name": "other" }),
                None,
            )])
            .await;
        assert_eq!(mirror.dirty().await, [("prod_1".into(), "tie".into())]);
        let before = mirror.object("products", "prod_1").await;
        read(&mirror, found, T + 9).await;
        assert_eq!(
            mirror.object("products", "prod_1").await,
            before,
            "a read of that second overwrites no event of it"
        );
        assert_eq!(mirror.dirty().await.len(), 1, "and does not settle its tie");
    });
}

#[test]
fn a_list_that_was_read_to_its_end_replaces_the_one_that_is_cut_off() {
    on_each_store(async |mirror: Mirror| {
        let line = |id: &str| json!({ "id": id, "object": "line_item", "amount": 1 });
        let invoice = json!({
            "id": "in_1", "object": "invoice",
            "lines": { "object": "list", "data": [line("il_1")], "has_more": true, "url": "/v1/invoices/in_1/lines" },
        });
        mirror.deliver(&[event("evt_a", "invoice.updated", T, invoice.clone(), None)]).await;
        assert_eq!(mirror.dirty().await, [("in_1".into(), "truncated_list".into())]);
        let elements = ["il_1", "il_2", "il_3"].map(|id| line(id).to_string()).to_vec();
        let lists = vec![CompletedList { property: "lines".into(), elements }];
        let found = Read::Found { json: invoice.to_string(), read_at: T + 2, lists };
        let now = Timestamp::from_second(T + 2).unwrap();
        let source = AnyObject(found);
        reread(&mirror.store, &source, &Policy::default(), now, 10).await.unwrap();
        let lines: Vec<String> = mirror.rows("invoice_line_items").await.into_iter().map(|row| row.id).collect();
        assert_eq!(lines, ["il_1", "il_2", "il_3"]);
        assert_eq!(mirror.dirty().await, []);
    });
}

/// A Stripe that answers every read alike, whatever is read.
struct AnyObject(Read);

impl ObjectSource for AnyObject {
    async fn read(&self, _object: &str, _id: &str, _account: &str) -> Read {
        self.0.clone()
    }
}
