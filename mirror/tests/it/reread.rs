//! The hook that settles what events cannot decide.

use billhook_mirror::interpret::Policy;
use billhook_mirror::reread::{ObjectSource, Read, reread};
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
    reread(&mirror.store, &Answer(answer), &Policy::default(), now, 10).await.unwrap()
}

#[test]
fn a_read_settles_a_tie_once_the_second_is_over() {
    on_each_store(async |mirror: Mirror| {
        tied(&mirror).await;
        let json = json!({ "id": "prod_1", "object": "product", "name": "truth" }).to_string();
        let found = |read_at| Read::Found { json: json.clone(), read_at };
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
fn an_event_inside_the_second_of_a_read_marks_the_object_again() {
    on_each_store(async |mirror: Mirror| {
        tied(&mirror).await;
        let json = json!({ "id": "prod_1", "object": "product", "name": "truth" }).to_string();
        read(&mirror, Read::Found { json, read_at: T + 2 }, T + 2).await;
        let object = json!({ "id": "prod_1", "object": "product", "name": "maybe later" });
        mirror.deliver(&[event("evt_c", "product.updated", T + 2, object, None)]).await;
        assert_eq!(mirror.object("products", "prod_1").await.unwrap()["name"], "truth");
        assert_eq!(mirror.dirty().await, [("prod_1".into(), "read_tie".into())]);
    });
}
