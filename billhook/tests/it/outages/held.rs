//! Other clients of the database, who hold something until the test lets go.

use std::thread::JoinHandle;
use std::time::Duration;

use billhook_testkit::{random, sql, wait};

/// Longest wait until the statement runs.
const BEGUN: Duration = Duration::from_secs(20);

/// Statements that run on a connection of their own, the last of them a wait. PostgreSQL only.
pub(super) struct Held {
    /// URL of a superuser, who may end other sessions.
    superuser_url: String,
    mark: String,
    thread: Option<JoinHandle<()>>,
}

impl Held {
    /// Runs `statements` as the user of `url` and then waits. Returns when they are done and what they took is held.
    pub(super) fn start(url: &str, superuser_url: &str, statements: &str) -> Self {
        let mark = random::name("held");
        let (url, statements) = (url.to_owned(), format!("{statements}; SELECT pg_sleep(100) /* {mark} */"));
        let thread = std::thread::spawn(move || {
            // It ends with an error, since the session is ended.
            let _ = sql::execute(&url, &statements);
        });
        let held = Self { superuser_url: superuser_url.to_owned(), mark, thread: Some(thread) };
        let sleeps = format!("SELECT count(*) FROM {} AND wait_event = 'PgSleep'", held.sessions());
        wait::until("another client to hold what it has to", BEGUN, || {
            sql::number(&held.superuser_url, &sleeps).is_ok_and(|count| count == 1).then_some(())
        })
        .unwrap();
        held
    }

    fn sessions(&self) -> String {
        format!("pg_stat_activity WHERE query LIKE '%{}%' AND pid <> pg_backend_pid()", self.mark)
    }

    fn end(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        let _ = sql::query(
            &self.superuser_url,
            &format!("SELECT pg_terminate_backend(pid) AS ended FROM {}", self.sessions()),
        );
        let _ = thread.join();
    }
}

impl Drop for Held {
    /// Lets go.
    fn drop(&mut self) {
        self.end();
    }
}
