//! Is it there, is it alive, is it ready.

use std::time::Duration;

use axum::response::Response;
use billhook_store::SchemaState;
use http::StatusCode;
use jiff::Timestamp;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use crate::answer;
use crate::state::{Database, Deliveries};

/// How long an answer of `/readyz` is given again without asking, in milliseconds. Anybody may ask, and the database must not
/// feel how often.
const READINESS_KEPT_MS: u64 = 500;

/// How long the database may take to answer, in milliseconds, before it counts as away.
const DATABASE_DEADLINE_MS: u64 = 2_000;

/// The health answer of the existing engines, in both of their forms at once.
pub(crate) fn contract(now: Timestamp) -> Response {
    answer::json(format!(r#"{{"received":true,"statusCode":200,"ts":{}}}"#, now.as_millisecond()))
}

/// Why deliveries should not be sent here now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NotReady {
    Database,
    Schema,
    Deliveries,
}

impl NotReady {
    /// Says what is wrong and nothing about the installation.
    fn reason(self) -> &'static str {
        match self {
            Self::Database => "the database does not answer",
            Self::Schema => "the schema is not current",
            Self::Deliveries => "deliveries are refused at the moment",
        }
    }
}

/// Finds out whether the server is ready, once for all who ask at the same time.
#[derive(Default)]
pub(crate) struct Readiness {
    last: Mutex<Option<(Instant, Result<(), NotReady>)>>,
}

impl Readiness {
    pub(crate) async fn answer(&self, deliveries: &impl Deliveries, database: &impl Database) -> Response {
        match self.check(deliveries, database).await {
            Ok(()) => answer::text(StatusCode::OK, "ready"),
            Err(not_ready) => answer::unavailable(not_ready.reason()),
        }
    }

    async fn check(&self, deliveries: &impl Deliveries, database: &impl Database) -> Result<(), NotReady> {
        let mut last = self.last.lock().await;
        if let Some((at, result)) = *last
            && at.elapsed() < Duration::from_millis(READINESS_KEPT_MS)
        {
            return result;
        }
        let result = ask(deliveries, database).await;
        *last = Some((Instant::now(), result));
        result
    }
}

async fn ask(deliveries: &impl Deliveries, database: &impl Database) -> Result<(), NotReady> {
    let answered = timeout(Duration::from_millis(DATABASE_DEADLINE_MS), database.schema_state()).await;
    match answered {
        Err(_) | Ok(Err(_)) => Err(NotReady::Database),
        Ok(Ok(SchemaState::Current)) if deliveries.is_ready() => Ok(()),
        Ok(Ok(SchemaState::Current)) => Err(NotReady::Deliveries),
        Ok(Ok(SchemaState::Empty | SchemaState::Behind(_) | SchemaState::Newer)) => Err(NotReady::Schema),
    }
}
