//! Sending events and signals from a run.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use billhook_core::step::StepKey;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;

use crate::error::{Error, Result};
use crate::event::Event;
use crate::exchange::{Memo, Record, Sent};
use crate::execution::{Execution, WAIT_LONGEST};
use crate::names;

/// Longest name of an event, in bytes.
const NAME_BYTES_MAX: usize = 512;

/// An event on its way. It is sent when it is awaited, once, in the transaction that records it; the result is its id.
#[must_use = "nothing is sent until it is awaited"]
pub struct Send {
    execution: Arc<Execution>,
    key: Result<StepKey>,
    name: String,
    data: Result<serde_json::Value>,
    at: Option<Timestamp>,
    id: Option<String>,
    schedule_key: Option<String>,
    /// Whether it has one of the names that only Billhook itself gives.
    is_own: bool,
}

impl Send {
    pub(crate) fn new(execution: Arc<Execution>, id: String, name: String, data: &impl Serialize) -> Self {
        let key = execution.key(id);
        let data = serde_json::to_value(data)
            .map_err(|error| Error::terminal(format!("the data of {name} is no JSON, so it cannot be sent: {error}")));
        Self { execution, key, name, data, at: None, id: None, schedule_key: None, is_own: false }
    }

    /// What it was called in an earlier version of the code. Runs that have something recorded under that id go on with it; the others record
    /// it under its new id. The event's own id stays that of the former. Leave it there until the runs that began before are over.
    pub fn renamed_from(mut self, id: impl Into<String>) -> Self {
        self.key = self.execution.renamed(self.key, id.into());
        self
    }

    /// When the event takes effect; a time that is past means at once. At most 366 days ahead.
    pub fn at(mut self, time: Timestamp) -> Self {
        self.at = Some(time);
        self
    }

    /// The event's id. A second event with the same id starts nothing. Without one it is made from the run and the step, so that a
    /// replay sends nothing twice.
    pub fn id(mut self, id: impl Into<String>) -> Self {
        self.id = Some(id.into());
        self
    }

    /// Replaces an event of the same name and key whose time has not come.
    pub fn replacing(mut self, key: impl Into<String>) -> Self {
        self.schedule_key = Some(key.into());
        self
    }
}

impl IntoFuture for Send {
    type Output = Result<String>;
    /// Not `Send`: nothing is sent within a step.
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output>>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.run())
    }
}

impl Send {
    async fn run(self) -> Result<String> {
        let Self { execution, key, name, data, at, id, schedule_key, is_own } = self;
        let key = key?;
        match execution.memo(&key) {
            Some(Memo::Done(id)) => return Ok(id.as_str().unwrap_or_default().to_owned()),
            Some(Memo::Failed(error)) => return Err(Error::recorded(error)),
            Some(_) => return execution.undecodable(&key, "the id belonged to something else than a sent event").await,
            None => {}
        }
        let now = execution.now();
        let ts = at.unwrap_or(now).max(now);
        if let Some(defect) = defect(&name, ts, now).filter(|_| !is_own) {
            return Err(Error::terminal(defect));
        }
        let id = id.unwrap_or_else(|| execution.idempotency_key(&key));
        let event = Event { id: id.clone(), name, data: data?, ts };
        let busy = execution.busy();
        if execution.fakes.contains_key(&key.id) {
            execution.record(&key, Memo::Done(id.clone().into())).await;
        } else {
            let sends = vec![Sent { event, schedule_key }];
            execution.hand_in(Record { key, memo: Memo::Done(id.clone().into()), sends }).await;
        }
        drop(busy);
        Ok(id)
    }
}

/// A signal on its way. It is sent when it is awaited, once, in the transaction that records it.
#[must_use = "nothing is sent until it is awaited"]
pub struct SendSignal {
    signal: String,
    send: Send,
}

impl SendSignal {
    pub(crate) fn new(execution: Arc<Execution>, id: String, signal: String, data: &impl Serialize) -> Self {
        let send = Send::new(execution, id, names::SIGNAL.to_owned(), data);
        let data = send.data.map(|data| json!({ "signal": signal, "data": data }));
        Self { send: Send { data, is_own: true, ..send }, signal }
    }
}

impl IntoFuture for SendSignal {
    type Output = Result<()>;
    /// Not `Send`: nothing is sent within a step.
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output>>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let Self { signal, send } = self;
            if signal.is_empty() || signal.len() > NAME_BYTES_MAX || signal.contains('\0') {
                let why =
                    format!("the name of a signal has 1 to {NAME_BYTES_MAX} bytes and no NUL, and {signal:?} is none");
                return Err(Error::terminal(why));
            }
            send.run().await.map(drop)
        })
    }
}

/// Why an event cannot be sent.
fn defect(name: &str, ts: Timestamp, now: Timestamp) -> Option<String> {
    if name.trim().is_empty() || name.len() > NAME_BYTES_MAX {
        return Some(format!("the name of an event has 1 to {NAME_BYTES_MAX} bytes, and {name:?} has {}", name.len()));
    }
    if names::is_reserved(name) {
        return Some(format!("only Stripe or Billhook itself sends {name}; give the event a name of your own"));
    }
    let ahead = ts.duration_since(now);
    (ahead > WAIT_LONGEST).then(|| format!("{name} is to be sent at {ts}, which is more than 366 days ahead"))
}
