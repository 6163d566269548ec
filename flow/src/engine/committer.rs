//! Records what runs did: everything that came while the last transaction was in flight becomes the next one.

use std::sync::Arc;
use std::time::Duration;

use billhook_core::Clock;
use billhook_store::{RunCommit, Store};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::route::Matcher;
use crate::exchange::Lost;

/// Commits that wait at the same time; more make their runs wait.
const WAITING_MAX: usize = 4_096;

/// Commits in one transaction.
const BATCH_MAX: usize = 512;

/// First and longest pause after a failure that may pass, in milliseconds.
const RETRY_MS: (u64, u64) = (20, 2_000);

/// Where executions hand in what they have to say. Cheap to clone.
#[derive(Clone)]
pub(super) struct Committer(mpsc::Sender<Waiting>);

struct Waiting {
    commit: RunCommit,
    reply: oneshot::Sender<bool>,
}

impl Committer {
    pub(super) fn start(store: Store, clock: Arc<dyn Clock>) -> (Self, JoinHandle<()>) {
        let (sender, waiting) = mpsc::channel(WAITING_MAX);
        (Self(sender), tokio::spawn(run(store, clock, waiting)))
    }

    /// Makes it durable, or says that the run is somebody else's.
    pub(super) async fn commit(&self, commit: RunCommit) -> Result<(), Lost> {
        let (reply, written) = oneshot::channel();
        self.0.send(Waiting { commit, reply }).await.map_err(|_| Lost)?;
        match written.await {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(Lost),
        }
    }
}

async fn run(store: Store, clock: Arc<dyn Clock>, mut waiting: mpsc::Receiver<Waiting>) {
    let mut batch = Vec::with_capacity(BATCH_MAX);
    while waiting.recv_many(&mut batch, BATCH_MAX).await > 0 {
        let (commits, replies): (Vec<RunCommit>, Vec<oneshot::Sender<bool>>) =
            batch.drain(..).map(|waiting: Waiting| (waiting.commit, waiting.reply)).unzip();
        for (reply, written) in replies.into_iter().zip(write(&store, &clock, commits).await) {
            let _ = reply.send(written);
        }
    }
}

/// Writes until the database takes it: what has happened has to be recorded, and writing it twice changes nothing. What the database
/// refuses for good is written alone, so that it costs no other run its record.
async fn write(store: &Store, clock: &Arc<dyn Clock>, commits: Vec<RunCommit>) -> Vec<bool> {
    let mut pause_ms = RETRY_MS.0;
    loop {
        match store.commit_flow_runs(commits.clone(), Arc::new(Matcher), clock.now()).await {
            Ok(written) => return written,
            Err(error) if error.is_transient() => {
                tracing::warn!(%error, runs = commits.len(), "what runs did could not be recorded; trying again");
                tokio::time::sleep(Duration::from_millis(pause_ms)).await;
                pause_ms = (pause_ms * 2).min(RETRY_MS.1);
            }
            Err(error) if commits.len() == 1 => {
                tracing::error!(%error, run = commits[0].run, "the database refuses a record; the run is executed again");
                return vec![false];
            }
            Err(_) => {
                let mut written = Vec::with_capacity(commits.len());
                for commit in commits {
                    written.extend(Box::pin(write(store, clock, vec![commit])).await);
                }
                return written;
            }
        }
    }
}
