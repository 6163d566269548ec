//! From the bytes of a page to changes of rows.

use std::borrow::Cow;
use std::sync::LazyLock;

use billhook_core::table::{ChildList, Key, OnDelete, Table};
use billhook_stripe::api::{Answer, ListPage};
use billhook_stripe::catalogue;
use billhook_stripe::json::sanitise;

use super::streams::{Paging, Stream};
use crate::interpret::Change;
use crate::law::read_version;
use crate::object::Fields;
use crate::projection::{self, Context, Parent};
use crate::reread::says_deleted;

/// A page as Stripe sent it.
#[derive(Debug)]
pub(super) struct FetchedPage {
    pub(super) stream: &'static Stream,
    pub(super) answer: Answer,
    /// The parent below which it was read.
    pub(super) parent: Option<String>,
    /// Owner of the rows.
    pub(super) account: String,
}

/// The texts of a page's elements, ready for the database.
pub(super) struct Texts<'a> {
    elements: Vec<Option<Cow<'a, str>>>,
    has_more: bool,
    next_url: Option<String>,
}

/// What decides how the walk goes on.
#[derive(Debug)]
pub(super) struct Facts {
    /// Ids in the order of the page.
    pub(super) ids: Vec<String>,
    /// Times by which the list is ordered; empty when it is not, or when an element does not tell.
    pub(super) created: Vec<i64>,
    pub(super) has_more: bool,
    pub(super) next_url: Option<String>,
    pub(super) livemode: Option<bool>,
}

impl Facts {
    /// The least `created` on the page.
    pub(super) fn low(&self) -> Option<i64> {
        self.created.iter().copied().min()
    }
}

impl FetchedPage {
    /// The elements' texts; `Err` says why this is no page.
    pub(super) fn texts(&self) -> Result<Texts<'_>, String> {
        let text = |text| sanitise(text).ok().map(|sanitised| sanitised.text);
        if self.stream.paging == Paging::Single {
            let body = std::str::from_utf8(&self.answer.body).map_err(|error| error.to_string())?;
            return Ok(Texts { elements: vec![text(body)], has_more: false, next_url: None });
        }
        let page = ListPage::parse(&self.answer.body).map_err(|error| error.to_string())?;
        let goes_on = matches!(self.stream.paging, Paging::Cursor | Paging::NextPage);
        Ok(Texts {
            elements: page.elements.iter().map(|element| text(element.get())).collect(),
            has_more: page.has_more && goes_on,
            next_url: page.next_page_url,
        })
    }
}

/// The elements of a page with their properties; `None` for what cannot be stored as JSON or is no object.
pub(super) struct Elements<'a> {
    elements: Vec<Option<(&'a str, Fields<'a>)>>,
}

impl<'a> Elements<'a> {
    pub(super) fn read(texts: &'a Texts<'_>) -> Self {
        let read = |text: &'a Option<Cow<'_, str>>| {
            let text: &'a str = text.as_deref()?;
            Some((text, Fields::parse(text)?))
        };
        Self { elements: texts.elements.iter().map(read).collect() }
    }

    pub(super) fn facts(&self, stream: &Stream, texts: &Texts<'_>) -> Facts {
        let present = || self.elements.iter().flatten().map(|(_, fields)| fields);
        let created =
            |property| present().map(|fields| fields.get(property)?.get().parse().ok()).collect::<Option<Vec<i64>>>();
        Facts {
            ids: present().filter_map(|fields| fields.text("id")).map(Cow::into_owned).collect(),
            created: stream.created_property.and_then(created).unwrap_or_default(),
            has_more: texts.has_more,
            next_url: texts.next_url.clone(),
            livemode: present().find_map(|fields| fields.get("livemode")?.get().parse().ok()),
        }
    }

    /// Projects every element. What has no row is skipped and named.
    pub(super) fn project(&self, page: &FetchedPage) -> ProjectedPage {
        let mut projected = ProjectedPage { changes: Vec::with_capacity(self.elements.len()), skipped: Vec::new() };
        for (position, element) in self.elements.iter().enumerate() {
            match element.as_ref().ok_or_else(|| "not storable".to_owned()).and_then(|(text, fields)| {
                page.change(text, fields)
                    .ok_or_else(|| fields.text("id").unwrap_or("without an id".into()).into_owned())
            }) {
                Ok(change) => projected.changes.push(change),
                Err(what) => projected.skipped.push(format!("element {position} ({what})")),
            }
        }
        projected
    }

    pub(super) fn len(&self) -> usize {
        self.elements.len()
    }
}

/// The rows of a page.
#[derive(Debug, Default)]
pub(super) struct ProjectedPage {
    pub(super) changes: Vec<Change>,
    /// Elements without a row.
    pub(super) skipped: Vec<String>,
}

impl FetchedPage {
    /// Projects the page anew, after a transaction that took the rows with it failed.
    pub(super) fn project(&self) -> ProjectedPage {
        self.texts().map(|texts| Elements::read(&texts).project(self)).unwrap_or_default()
    }

    fn change(&self, text: &str, fields: &Fields<'_>) -> Option<Change> {
        let kind = fields.text("object").unwrap_or_default();
        let table = if kind.is_empty() || kind == self.stream.kind.object {
            self.stream.table
        } else {
            catalogue::table_of(&kind).unwrap_or_else(catalogue::other_objects)
        };
        let deletes = table.on_delete != OnDelete::Keep && says_deleted(fields);
        let nothing = Fields::parse("{}")?;
        let parent = self.parent.as_deref().zip(parent_list(self.stream));
        let context = Context {
            account: &self.account,
            version: read_version(self.answer.read_at),
            source_event: "",
            revives: !deletes,
            deletes,
            parent: parent.map(|(id, list)| Parent { id, list, fields: &nothing }),
        };
        let projected = projection::project_fields(table, text, fields, &context).ok()?;
        Some(Change { table, projected, deletes })
    }
}

/// The embedded list that would bring the elements of this stream along: it knows the column that holds the parent's id, which not
/// every element tells (`active_entitlements.customer`).
fn parent_list(stream: &Stream) -> Option<&'static ChildList> {
    let parent = stream.parent?;
    LISTS_WITH_PARENT
        .iter()
        .find(|(table, list)| {
            let is_parent = table.object == parent.object || table.key == Key::Property(parent.object.to_owned());
            is_parent && list.table == stream.table.index
        })
        .map(|(_, list)| *list)
}

static LISTS_WITH_PARENT: LazyLock<Vec<(&'static Table, &'static ChildList)>> = LazyLock::new(|| {
    let lists = catalogue::tables().iter().flat_map(|table| table.children.iter().map(move |list| (table, list)));
    lists.filter(|(_, list)| list.parent_column.is_some()).collect()
});
