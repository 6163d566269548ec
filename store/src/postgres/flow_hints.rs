//! Hints between processes, with `LISTEN` and `NOTIFY`. What each operation does stands at [`crate::Store`].
//!
//! The connection that listens is none of the pool's: notifications come to whoever polls it, at any time. It lives inside of the
//! future that hears, so nothing is left of it when that is dropped.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_postgres::{AsyncMessage, Client, Connection, Socket};

use super::session::{Patience, within_answer};
use super::tls::Encrypted;
use super::{PostgresStore, failure, statements};
use crate::StoreError;

/// The shortest time between two hints of one process, in milliseconds: a notification serialises commits, and whoever hears looks.
const HINT_EVERY_MS: u64 = 20;

/// First and longest pause before the next connection when one was lost, in milliseconds.
const RETRY_MS: (u64, u64) = (20, 2_000);

/// How often the connection is asked for a sign of life, in seconds. One that is half open would stay silent for ever.
const PROBE_SECONDS: u64 = 30;

const LISTENING: &str = "listening for hints";

/// Makes one hint of those that come close together.
#[derive(Default)]
pub(super) struct HintPace {
    /// Somebody will tell, after whatever was committed until now.
    is_asked: AtomicBool,
    told_at: Mutex<Option<Instant>>,
}

impl HintPace {
    /// Tells, unless somebody is about to. There are two at most that have not returned: one that tells and one that waits.
    async fn tell<T>(&self, tell: impl Future<Output = T>) -> Option<T> {
        if self.is_asked.swap(true, Ordering::SeqCst) {
            return None;
        }
        let asked = Asked(&self.is_asked);
        let mut told_at = self.told_at.lock().await;
        if let Some(before) = *told_at {
            sleep_until(before + Duration::from_millis(HINT_EVERY_MS)).await;
        }
        // Before it is told: what is committed from now on may be missed by those that hear it.
        drop(asked);
        let told = tell.await;
        *told_at = Some(Instant::now());
        Some(told)
    }
}

/// The promise to tell, which ends also when whoever gave it goes away.
struct Asked<'a>(&'a AtomicBool);

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::SeqCst);
    }
}

impl PostgresStore {
    /// See [`crate::Store::hint_flow_runs`].
    pub async fn hint_flow_runs(&self) {
        let tell = self.query(Patience::Answer, "telling of runs", statements::FLOW_HINTS_TELL, &[]);
        if let Some(Err(error)) = self.shared.hint_pace.tell(tell).await {
            tracing::debug!(%error, "other processes were not told of runs; they find them at their next look");
        }
    }

    /// See [`crate::Store::hear_flow_hints`].
    pub async fn hear_flow_hints(&self, heard: impl Fn() + Send + Sync) {
        let mut pause_ms = RETRY_MS.0;
        loop {
            let began = Instant::now();
            let Err(error) = self.listen(&heard).await;
            if began.elapsed() > Duration::from_millis(RETRY_MS.1) {
                pause_ms = RETRY_MS.0;
            }
            tracing::info!(%error, "not listening for runs that other processes started, which are found a little later; connecting again");
            sleep(Duration::from_millis(pause_ms)).await;
            pause_ms = (pause_ms * 2).min(RETRY_MS.1);
        }
    }

    /// Listens on a connection of its own until that is lost.
    async fn listen(&self, heard: &(impl Fn() + Send + Sync)) -> Result<Infallible, StoreError> {
        let connect = async {
            let connected = self.shared.address.connect().await;
            connected.map_err(|error| failure::translate(LISTENING, &error))
        };
        let (client, mut connection) = within_answer(LISTENING, connect).await?;
        let listening = async {
            ask(&client).await?;
            // What was told before is not heard any more.
            heard();
            loop {
                sleep(Duration::from_secs(PROBE_SECONDS)).await;
                ask(&client).await?;
            }
        };
        tokio::select! {
            biased;
            lost = hear(&mut connection, heard) => Err(lost),
            overdue = listening => overdue,
        }
    }
}

/// Listening again changes nothing and shows that the server lives.
async fn ask(client: &Client) -> Result<(), StoreError> {
    let asked = async {
        let listened = client.batch_execute(statements::FLOW_HINTS_LISTEN).await;
        listened.map_err(|error| failure::translate(LISTENING, &error))
    };
    within_answer(LISTENING, asked).await
}

/// Moves the connection on, and tells of notifications until it ends.
async fn hear(connection: &mut Connection<Socket, Encrypted<Socket>>, heard: impl Fn()) -> StoreError {
    loop {
        match poll_fn(|context| connection.poll_message(context)).await {
            Some(Ok(AsyncMessage::Notification(_))) => heard(),
            // Notices of the server.
            Some(Ok(_)) => {}
            Some(Err(error)) => return failure::translate(LISTENING, &error),
            None => return StoreError::Unavailable("the connection that listens for hints was closed".to_owned()),
        }
    }
}
