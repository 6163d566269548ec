//! A complete list decides which children are left; a newer child is never touched.

use billhook_core::row::{Rank, Row, Version};
use billhook_core::table::{Orphans, Table};
use billhook_store::{CompleteList, Guard};

use crate::harness::{Database, texts};
use crate::tables::{self, Draft, OWNER_OF_CHILD, row, text};

fn child(table: &'static Table, id: &str, owner: &str, time: i64) -> Row {
    row(table, id, time).with(table, "owner", text(owner))
}

fn list(owner: &str, time: i64, children: &[&str]) -> CompleteList {
    CompleteList {
        parent: owner.to_owned(),
        version: Version { time, rank: Rank::Embedded },
        children: texts(children),
    }
}

async fn family(database: &Database, table: &'static Table) {
    let rows = vec![
        child(table, "named", "o_1", 10).rank(Rank::Embedded),
        child(table, "orphan", "o_1", 10).rank(Rank::Embedded),
        child(table, "newer", "o_1", 11),
        child(table, "own_event", "o_1", 10).rank(Rank::Event),
        child(table, "other", "o_2", 1),
    ];
    database.upsert(table, rows, Guard::Newer).await;
}

on_both! {
    async fn orphans_are_flagged(database) {
        let database = database.migrated().await;
        let parts = tables::parts();
        family(&database, parts).await;
        database.prune_children(parts, OWNER_OF_CHILD, Orphans::Flag, vec![list("o_1", 10, &["named", "unknown"])]).await;
        let mut deleted = Vec::new();
        for id in ["named", "orphan", "newer", "own_event", "other"] {
            deleted.push(database.flag("parts", id, "deleted").await);
        }
        assert_eq!(deleted, [Some(false), Some(true), Some(false), Some(false), Some(false)]);
        assert_eq!(database.column("parts", "orphan", "owner").await.as_deref(), Some("o_1"));
    }

    async fn orphans_are_removed(database) {
        let database = database.migrated().await;
        let lines = tables::lines();
        family(&database, lines).await;
        database.prune_children(lines, OWNER_OF_CHILD, Orphans::Remove, vec![list("o_1", 10, &["named"])]).await;
        let mut left = Vec::new();
        for id in ["named", "orphan", "newer", "own_event", "other"] {
            if database.has("lines", id).await {
                left.push(id);
            }
        }
        assert_eq!(left, ["named", "newer", "own_event", "other"]);
    }

    async fn orphans_are_kept(database) {
        let database = database.migrated().await;
        let lines = tables::lines();
        family(&database, lines).await;
        database.prune_children(lines, OWNER_OF_CHILD, Orphans::Keep, vec![list("o_1", 99, &[])]).await;
        assert!(database.has("lines", "orphan").await);
        assert_eq!(database.flag("lines", "orphan", "deleted").await, Some(false));
    }

    async fn an_empty_list_means_no_children(database) {
        let database = database.migrated().await;
        let lines = tables::lines();
        family(&database, lines).await;
        let lists = vec![list("o_1", 99, &[]), list("o_2", 99, &["other"]), list("o_3", 99, &[])];
        database.prune_children(lines, OWNER_OF_CHILD, Orphans::Remove, lists).await;
        let mut left = Vec::new();
        for id in ["named", "orphan", "newer", "own_event", "other"] {
            if database.has("lines", id).await {
                left.push(id);
            }
        }
        assert_eq!(left, ["other"]);
    }

    async fn ids_in_lists_are_taken_literally(database) {
        let database = database.migrated().await;
        let lines = tables::lines();
        let odd = r#"il_"',]\ %_"#;
        database.upsert(lines, vec![child(lines, odd, "o'1", 10), child(lines, "il_2", "o'1", 10)], Guard::Newer).await;
        database.prune_children(lines, OWNER_OF_CHILD, Orphans::Remove, vec![list("o'1", 20, &[odd])]).await;
        assert!(database.has("lines", odd).await);
        assert!(!database.has("lines", "il_2").await);
    }
}
