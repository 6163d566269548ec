//! What only a file can get wrong: two servers, permissions, a file that is no database.

use std::path::Path;

use billhook_store::{Options, Role, Store, StoreError};

use crate::harness::{Place, delivery, on_sqlite, options};
use crate::tables;

fn server(path: &Path) -> Options {
    options(&Place::Sqlite(path.to_owned()), tables::all(), 1, Role::Server)
}

fn path(place: &Place) -> &Path {
    match place {
        Place::Sqlite(path) => path,
        Place::Postgres(_) => panic!("this test is about files"),
    }
}

#[test]
fn a_second_server_is_refused_until_the_first_ends() {
    on_sqlite(|database| async move {
        let database = database.migrated().await;
        let path = path(&database.place);
        let refused = Store::open(server(path)).await.map(|_store| ());
        assert!(matches!(&refused, Err(StoreError::Locked(file)) if file.contains("billhook.db")), "{refused:?}");
        database.store.close().await;
        let second = Store::open(server(path)).await.expect("the first one is gone");
        second.close().await;
    });
}

#[cfg(unix)]
#[test]
fn another_name_of_the_file_has_the_same_lock() {
    on_sqlite(|database| async move {
        let alias = path(&database.place).with_file_name("alias.db");
        std::os::unix::fs::symlink(path(&database.place), &alias).expect("a link");
        assert!(matches!(Store::open(server(&alias)).await.map(|_store| ()), Err(StoreError::Locked(_))));
    });
}

#[test]
fn a_tool_works_beside_a_server() {
    on_sqlite(|database| async move {
        let database = database.migrated().await;
        let tool = database.open_beside(tables::all(), 1).await.expect("opens");
        let (server_side, tool_side) = tokio::join!(
            database.store.insert_deliveries(vec![delivery("evt_1", 1000)]),
            tool.insert_deliveries(vec![delivery("evt_2", 1000)])
        );
        server_side.expect("written");
        tool_side.expect("written");
        assert_eq!(tool.backlog().await.expect("counted").deliveries, 2);
        tool.close().await;
        assert_eq!(database.pending().await.len(), 2);
    });
}

#[cfg(unix)]
#[test]
fn only_the_owner_can_read_the_files() {
    use std::os::unix::fs::PermissionsExt;
    on_sqlite(|database| async move {
        let database = database.migrated().await;
        database.receive(&["evt_1"]).await;
        let folder = path(&database.place).parent().expect("a folder").to_owned();
        let mut names = Vec::new();
        for entry in std::fs::read_dir(folder).expect("a folder") {
            let entry = entry.expect("a file");
            assert_eq!(entry.metadata().expect("readable").permissions().mode() & 0o777, 0o600, "{:?}", entry.path());
            names.push(entry.file_name().to_string_lossy().into_owned());
        }
        assert!(names.iter().any(|name| name == "billhook.db-wal"), "{names:?}");
    });
}

#[test]
fn closing_moves_the_log_into_the_database() {
    on_sqlite(|database| async move {
        let database = database.migrated().await;
        database.receive(&["evt_1"]).await;
        database.store.close().await;
        let log = std::fs::metadata(path(&database.place).with_extension("db-wal"));
        assert!(log.is_err_and(|error| error.kind() == std::io::ErrorKind::NotFound));
        let late = database.store.insert_deliveries(vec![delivery("evt_2", 1000)]).await;
        assert!(matches!(late, Err(StoreError::Unavailable(_))), "{late:?}");
        assert!(matches!(database.store.ping().await, Err(StoreError::Unavailable(_))));
    });
}

#[test]
fn what_was_queued_before_closing_is_done() {
    on_sqlite(|database| async move {
        let database = database.migrated().await;
        let waiting: Vec<_> = (0..100)
            .map(|number| {
                let store = database.store.clone();
                tokio::spawn(
                    async move { store.insert_deliveries(vec![delivery(&format!("evt_{number}"), 1000)]).await },
                )
            })
            .collect();
        tokio::task::yield_now().await;
        database.store.close().await;
        let mut acknowledged = 0;
        for task in waiting {
            acknowledged += usize::from(task.await.expect("no panic").is_ok());
        }
        let database = database.reopened().await;
        assert_eq!(database.pending().await.len(), acknowledged);
        database.store.close().await;
    });
}

#[test]
fn a_file_that_is_no_database_is_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("notes.txt");
    let notes = "this is no database, and it is longer than the header of one. ".repeat(100);
    std::fs::write(&path, &notes).expect("written");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let refused = runtime.block_on(Store::open(server(&path))).map(|_store| ());
    assert!(matches!(refused, Err(StoreError::Corrupt(_))), "{refused:?}");
    assert_eq!(std::fs::read_to_string(&path).expect("readable"), notes);
}

#[test]
fn a_missing_folder_is_named() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("missing").join("billhook.db");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let refused = runtime.block_on(Store::open(server(&path))).map(|_store| ());
    assert!(matches!(&refused, Err(StoreError::Configuration(text)) if text.contains("missing")), "{refused:?}");
}
