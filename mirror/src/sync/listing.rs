//! Goes through a list page by page and writes nothing.

use std::sync::Arc;

use billhook_stripe::api::{Api, Class};

use super::fetch::{Fetcher, NoPage};
use super::guard::ListGuard;
use super::page::Elements;
use super::request::Position;
use super::streams::{Paging, Stream};
use super::window::Window;
use crate::interpret::Change;

/// A list of Stripe's on its way from the newest object to the oldest.
pub(crate) struct Listing {
    stream: &'static Stream,
    fetcher: Fetcher,
    guard: ListGuard,
    parent: Option<String>,
    /// Where the next page begins; `None` at the end.
    position: Option<Position>,
}

impl Listing {
    /// The whole list, or that of one parent.
    pub(crate) fn new(api: &Api, class: Class, stream: &'static Stream, account: &str, parent: Option<String>) -> Self {
        let fetcher = Fetcher::new(api.clone(), class, stream, Window::default(), account.to_owned());
        Self { stream, fetcher, guard: ListGuard::default(), parent, position: Some(Position::default()) }
    }

    /// The objects of the next page, as they would be written; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Vec<Change>>, NoPage> {
        let Some(position) = self.position.take() else { return Ok(None) };
        loop {
            let got = self.fetcher.get(&position, self.parent.as_deref()).await?;
            if got.restarted {
                self.guard.restart();
            }
            let page = Arc::clone(&got.page);
            let texts = page.texts().map_err(NoPage::Failed)?;
            let elements = Elements::read(&texts);
            let facts = elements.facts(self.stream, &texts);
            if let Err(oddity) = self.guard.check(&facts) {
                if self.guard.is_too_odd() {
                    return Err(NoPage::Failed(format!("the list {} {oddity}", page.answer.path)));
                }
                continue;
            }
            if facts.has_more {
                let url = facts.next_url.clone().filter(|_| self.stream.paging == Paging::NextPage);
                self.position = Some(Position::behind(&facts.ids, facts.low(), url));
            }
            return Ok(Some(elements.project(&page).changes));
        }
    }
}
