//! Gets the next page, and knows what Stripe's refusals mean for a walk.

use std::sync::Arc;

use billhook_stripe::api::{Api, ApiError, Class, Failure, Get};

use super::page::FetchedPage;
use super::request::{Ask, PAGE_OBJECTS, Position};
use super::streams::Stream;
use super::window::Window;

/// Walks that may lose their cursor in one claim, before something else must be wrong.
const RESTARTS_MAX: u32 = 8;

/// By how much pages become smaller when an answer is too large.
const SHRINK: usize = 4;

/// RFC 9110, 15.5.5.
const NOT_FOUND: u16 = 404;

/// Why there is no page.
#[derive(Debug)]
pub(crate) enum NoPage {
    /// The stream cannot be read now; trying again may help.
    Retry(String),
    /// Stripe understood and declines. Once more will tell whether it means it.
    Declined(String),
    /// Stripe refuses the key. Nothing is wrong with the segment.
    Key(String),
    /// The key may not read this list.
    NoPermission(String),
    /// The account does not have it.
    NotAvailable(String),
    /// The parent is gone, or the path does not exist.
    NotFound(String),
    /// Another stream is to be read instead.
    Fallback(&'static str),
    /// Trying again cannot help.
    Failed(String),
}

/// Gets pages of one stream.
pub(super) struct Fetcher {
    api: Api,
    class: Class,
    stream: &'static Stream,
    pub(super) window: Window,
    account: String,
    limit: usize,
    expand: bool,
    restarts: u32,
    /// Requests since they were last taken into account.
    requests: u64,
}

/// A page and how it was come by.
#[derive(Debug)]
pub(super) struct Got {
    pub(super) page: Arc<FetchedPage>,
    /// Whether the walk lost its cursor and had to go back.
    pub(super) restarted: bool,
}

impl Fetcher {
    pub(super) fn new(api: Api, class: Class, stream: &'static Stream, window: Window, account: String) -> Self {
        Self { api, class, stream, window, account, limit: PAGE_OBJECTS, expand: true, restarts: 0, requests: 0 }
    }

    pub(super) fn take_requests(&mut self) -> u64 {
        std::mem::take(&mut self.requests)
    }

    /// The page behind `position`, of a parent's list or of the whole.
    pub(super) async fn get(&mut self, position: &Position, parent: Option<&str>) -> Result<Got, NoPage> {
        let mut position = position.clone();
        let mut restarted = false;
        loop {
            let ask = Ask {
                stream: self.stream,
                window: self.window,
                position: &position,
                parent,
                limit: self.limit,
                expand: self.expand,
            };
            let (path, query) = ask.request();
            self.requests += 1;
            let get = Get { path: &path, query: &query, account: "", class: self.class };
            let error = match self.api.get(&get).await {
                Ok(answer) => {
                    let page = FetchedPage {
                        stream: self.stream,
                        answer,
                        parent: parent.map(ToOwned::to_owned),
                        account: self.account.clone(),
                    };
                    return Ok(Got { page: Arc::new(page), restarted });
                }
                Err(error) => error,
            };
            if is_lost_cursor(&error)
                && self.restarts < RESTARTS_MAX
                && let Some(other) = position.without_cursor(self.stream)
            {
                tracing::info!(stream = self.stream.name, "the object behind the cursor is gone; going on around it");
                self.restarts += 1;
                (position, restarted) = (other, true);
                continue;
            }
            if self.adapts_to(&error) {
                continue;
            }
            return Err(self.meaning(error));
        }
    }

    /// Changes what the request can do without. `true` when it is worth asking again.
    fn adapts_to(&mut self, error: &ApiError) -> bool {
        match error {
            ApiError::TooLarge(_) if self.limit > 1 => {
                self.limit = (self.limit / SHRINK).max(1);
                true
            }
            ApiError::Refused(failure) if self.expand && !self.stream.expand.is_empty() && names(failure, "expand") => {
                self.expand = false;
                true
            }
            _ => false,
        }
    }

    fn meaning(&self, error: ApiError) -> NoPage {
        let message = error.to_string();
        match &error {
            ApiError::KeyRefused(_) => NoPage::Key(message),
            ApiError::NoPermission(_) => NoPage::NoPermission(message),
            ApiError::NotAvailable(_) => NoPage::NotAvailable(message),
            ApiError::NotFound(_) => NoPage::NotFound(message),
            ApiError::Refused(failure) => match self.stream.fallback {
                Some(fallback) if names(failure, "customer") => NoPage::Fallback(fallback),
                _ if self.stream.optional => NoPage::NotAvailable(message),
                _ => NoPage::Declined(message),
            },
            // An answer of no Stripe: for a list that may be absent, it is.
            ApiError::Unavailable(failure) if self.stream.optional && failure.status == Some(NOT_FOUND) => {
                NoPage::NotAvailable(message)
            }
            ApiError::Unavailable(_) => NoPage::Retry(message),
            ApiError::TooLarge(_) | ApiError::Configuration(_) => NoPage::Failed(message),
        }
    }
}

/// Whether Stripe complains about a parameter.
fn names(failure: &Failure, parameter: &str) -> bool {
    failure.param.as_deref().is_some_and(|param| param.starts_with(parameter)) || failure.message.contains(parameter)
}

/// Whether the object behind `starting_after` no longer exists.
fn is_lost_cursor(error: &ApiError) -> bool {
    let cursor =
        |failure: &Failure| failure.param.as_deref().is_none_or(|param| param == "starting_after" || param == "page");
    match error {
        ApiError::NotFound(failure) => cursor(failure),
        ApiError::Refused(failure) => {
            failure.code.as_deref() == Some("resource_missing") && cursor(failure)
                || failure.param.as_deref() == Some("starting_after")
        }
        _ => false,
    }
}
