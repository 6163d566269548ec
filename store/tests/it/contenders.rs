//! Events that share their object's deciding second are remembered until that second is over.

use billhook_store::Contender;

use crate::harness::texts;
use crate::tables;

fn contender(id: &str, event_id: &str, time: i64) -> Contender {
    Contender { table: tables::things().index, id: id.to_owned(), event_id: event_id.to_owned(), time }
}

on_both! {
    async fn they_are_read_by_object(database) {
        let database = database.migrated().await;
        let all = vec![contender("a", "evt_2", 10), contender("a", "evt_1", 10), contender("b", "evt_3", 5)];
        let elsewhere = Contender { table: tables::parts().index, ..contender("a", "evt_4", 10) };
        database.add_contenders([all, vec![elsewhere.clone()]].concat()).await;
        let found = database.contenders(tables::things(), texts(&["b", "a", "missing"])).await;
        assert_eq!(found, [contender("a", "evt_1", 10), contender("a", "evt_2", 10), contender("b", "evt_3", 5)]);
        assert_eq!(database.contenders(tables::parts(), texts(&["a"])).await, [elsewhere]);
    }

    async fn a_known_one_is_left_as_it_is(database) {
        let database = database.migrated().await;
        database.add_contenders(vec![contender("a", "evt_1", 10)]).await;
        database.add_contenders(vec![contender("a", "evt_1", 99), contender("a", "evt_2", 11)]).await;
        let found = database.contenders(tables::things(), texts(&["a"])).await;
        assert_eq!(found, [contender("a", "evt_1", 10), contender("a", "evt_2", 11)]);
    }

    async fn older_ones_are_forgotten(database) {
        let database = database.migrated().await;
        let all = vec![contender("a", "evt_1", 9), contender("a", "evt_2", 10), contender("b", "evt_3", 9)];
        database.add_contenders(all).await;
        database.forget_contenders(tables::things(), vec![("a".to_owned(), 10), ("missing".to_owned(), 10)]).await;
        let found = database.contenders(tables::things(), texts(&["a", "b"])).await;
        assert_eq!(found, [contender("a", "evt_2", 10), contender("b", "evt_3", 9)]);
    }
}
