//! A few connections that only read, beside the one that writes.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::Place;
use super::connection::open_reader;
use crate::StoreError;

/// Reading connections. Each holds its own page cache and its own copy of the schema, so there are few.
const READERS_MAX: u32 = 3;

/// The reading connections. They are opened when they are first needed.
pub(super) struct Readers {
    path: PathBuf,
    permits: Arc<Semaphore>,
    idle: Arc<Mutex<Vec<Connection>>>,
    place: Place,
}

impl Readers {
    pub(super) fn new(path: PathBuf, place: Place) -> Self {
        Self { path, permits: Arc::new(Semaphore::new(READERS_MAX as usize)), idle: Arc::default(), place }
    }

    /// Runs `operation` on a thread that may block, unless everything is done here.
    pub(super) async fn read<R, F>(&self, operation: F) -> Result<R, StoreError>
    where
        R: Send + 'static,
        F: FnOnce(&Connection) -> Result<R, StoreError> + Send + 'static,
    {
        let permit = self.permits.clone().acquire_owned().await.map_err(|_closed| closed())?;
        let idle = self.idle.clone();
        let path = self.path.clone();
        let read = move || {
            let waiting = locked(&idle).pop();
            let connection = match waiting {
                Some(connection) => connection,
                None => open_reader(&path)?,
            };
            let result = operation(&connection);
            locked(&idle).push(connection);
            // The connection must be back before the next reader looks for it.
            drop(permit);
            result
        };
        if self.place == Place::Here {
            return read();
        }
        let task = tokio::task::spawn_blocking(read);
        task.await.map_err(|error| StoreError::Unavailable(format!("a read did not end: {error}")))?
    }

    /// Waits for running reads, refuses new ones and closes the connections.
    pub(super) async fn close(&self) {
        // An error means that they are closed already.
        let all = self.permits.acquire_many(READERS_MAX).await;
        self.permits.close();
        drop(all);
        locked(&self.idle).clear();
    }
}

fn locked(idle: &Mutex<Vec<Connection>>) -> MutexGuard<'_, Vec<Connection>> {
    idle.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What every operation answers after [`crate::Store::close`].
pub(super) fn closed() -> StoreError {
    StoreError::Unavailable("the store was closed".to_owned())
}
