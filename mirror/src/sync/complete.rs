//! Embedded lists, read to their ends.

use billhook_stripe::api::{Answer, Api, ApiError, Class, Get};
use billhook_stripe::catalogue;

use crate::object::{Fields, ListObject};
use crate::projection::CompletedList;
use crate::reread::{Read, Unreadable};

/// A kind that no request answers with: what events of it show is put together from a list.
pub(super) const SUMMARY: &str = "entitlements.active_entitlement_summary";

/// Objects on a page: the most that Stripe gives.
const PAGE_OBJECTS: usize = 100;

/// Pages of one embedded list: a hundred times what any account is known to have.
const PAGES_MAX: usize = 1_000;

/// The lists that an object shows cut off.
pub(super) enum Lists {
    /// None of them was longer than one page, so each is of one moment.
    OnePage(Vec<CompletedList>),
    /// Several pages were needed, and something may have changed between them.
    Pages(Vec<CompletedList>),
    /// Something has changed between them.
    Moving,
}

/// Reads every embedded list that has a table and that says that it goes on.
pub(super) async fn lists(api: &Api, object: &str, json: &str, account: &str, class: Class) -> Result<Lists, ApiError> {
    let mut completed = Vec::new();
    let mut pages = false;
    for (property, url) in cut_off(object, json) {
        match elements(api, &url, &[], account, class).await? {
            Some((elements, requests)) => {
                pages |= requests > 1;
                completed.push(CompletedList { property, elements });
            }
            None => return Ok(Lists::Moving),
        }
    }
    Ok(if pages { Lists::Pages(completed) } else { Lists::OnePage(completed) })
}

/// Properties with cut-off lists, and where the whole lists are.
fn cut_off(object: &str, json: &str) -> Vec<(String, String)> {
    let (Some(table), Some(fields)) = (catalogue::table_of(object), Fields::parse(json)) else { return Vec::new() };
    let lists = table.children.iter().filter_map(|list| {
        let raw = fields.get(&list.property)?;
        let url = Fields::parse(raw.get())?.text("url")?.into_owned();
        let is_path = url.starts_with("/v1/") || url.starts_with("/v2/");
        (ListObject::parse(raw)?.truncated && is_path).then(|| (list.property.clone(), url))
    });
    lists.collect()
}

/// All elements of a list and the number of requests; `None` when the list changed under the walk.
async fn elements(
    api: &Api,
    url: &str,
    filter: &[(String, String)],
    account: &str,
    class: Class,
) -> Result<Option<(Vec<String>, usize)>, ApiError> {
    let mut elements = Vec::new();
    let mut after: Option<String> = None;
    for requests in 1..=PAGES_MAX {
        let mut query = filter.to_vec();
        query.push(("limit".to_owned(), PAGE_OBJECTS.to_string()));
        query.extend(after.clone().map(|after| ("starting_after".to_owned(), after)));
        let answer = match api.get(&Get { path: url, query: &query, account, class }).await {
            Ok(answer) => answer,
            // The element behind the cursor is gone, or all of the list with its object.
            Err(ApiError::NotFound(_)) if after.is_some() => return Ok(None),
            Err(error) => return Err(error),
        };
        let Some((page, last, has_more)) = page(&answer)? else { return Ok(None) };
        elements.extend(page);
        if !has_more {
            return Ok(Some((elements, requests)));
        }
        if last.is_none() || last == after {
            return Ok(None);
        }
        after = last;
    }
    Ok(None)
}

type Page = (Vec<String>, Option<String>, bool);

fn page(answer: &Answer) -> Result<Option<Page>, ApiError> {
    let page = answer.page()?;
    let id = |text: &str| Some(Fields::parse(text)?.text("id")?.into_owned());
    let last = page.elements.last().and_then(|last| id(last.get()));
    Ok(Some((page.elements.iter().map(|element| element.get().to_owned()).collect(), last, page.has_more)))
}

/// The object with its complete lists in the place of those that were cut off.
pub(super) fn expanded(json: String, lists: &[CompletedList]) -> String {
    let Some(fields) = Fields::parse(&json).filter(|_| !lists.is_empty()) else { return json };
    let list_of = |name: &str| lists.iter().find(|list| list.property == name);
    written(&fields, |name, raw| {
        let list = list_of(name)?;
        let inner = Fields::parse(raw)?;
        Some(written(&inner, |name, _| match name {
            "data" => Some(format!("[{}]", list.elements.join(","))),
            "has_more" => Some("false".to_owned()),
            _ => None,
        }))
    })
}

/// Writes an object with some of its values replaced.
fn written(fields: &Fields<'_>, replace: impl Fn(&str, &str) -> Option<String>) -> String {
    let mut text = String::from("{");
    for (position, (name, raw)) in fields.iter().enumerate() {
        if position > 0 {
            text.push(',');
        }
        text.push_str(&serde_json::Value::from(name.as_ref()).to_string());
        text.push(':');
        match replace(name, raw.get()) {
            Some(value) => text.push_str(&value),
            None => text.push_str(raw.get()),
        }
    }
    text.push('}');
    text
}

/// What a customer is entitled to, as its events show it.
pub(super) async fn summary(api: &Api, customer: &str, account: &str, class: Class) -> Result<Read, ApiError> {
    let url = "/v1/entitlements/active_entitlements";
    let filter = [("customer".to_owned(), customer.to_owned())];
    let mut query = filter.to_vec();
    query.push(("limit".to_owned(), PAGE_OBJECTS.to_string()));
    let first = match api.get(&Get { path: url, query: &query, account, class }).await {
        Ok(first) => first,
        Err(ApiError::NotFound(failure)) => {
            return Ok(failure.read_at.map_or(Read::Later, |read_at| Read::Gone { read_at }));
        }
        Err(error) => return Err(error),
    };
    let Some((mut data, _, has_more)) = page(&first)? else { return Ok(Read::Never(Unreadable::Refused)) };
    if has_more {
        match elements(api, url, &filter, account, class).await? {
            Some((all, _)) => data = all,
            None => return Ok(Read::Later),
        }
    }
    let livemode = data.first().and_then(|first| Some(Fields::parse(first)?.get("livemode")?.get() == "true"));
    let frame = serde_json::json!({
        "object": SUMMARY, "customer": customer, "livemode": livemode,
        "entitlements": { "object": "list", "data": [], "has_more": false, "url": format!("/v1/customer/{customer}/entitlements") },
    });
    let lists = vec![CompletedList { property: "entitlements".to_owned(), elements: data }];
    let json = expanded(frame.to_string(), &lists);
    Ok(Read::Found { json, read_at: first.read_at, lists })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_is_completed_inside_its_object_and_nothing_else_changes() {
        let json = r#"{"id":"in_1","n":1.50,"lines":{"object":"list","data":[{"id":"a"}],"has_more":true,"url":"/v1/x"},"e":"\u00e4"}"#;
        let elements = vec![r#"{"id":"a"}"#.to_owned(), r#"{"id":"b"}"#.to_owned()];
        let lists = [CompletedList { property: "lines".to_owned(), elements }];
        assert_eq!(
            expanded(json.to_owned(), &lists),
            r#"{"id":"in_1","n":1.50,"lines":{"object":"list","data":[{"id":"a"},{"id":"b"}],"has_more":false,"url":"/v1/x"},"e":"\u00e4"}"#
        );
        assert_eq!(expanded(json.to_owned(), &[]), json);
    }

    #[test]
    fn only_lists_that_go_on_and_have_a_table_are_read() {
        let list =
            |more: bool, url: &str| serde_json::json!({"object": "list", "data": [], "has_more": more, "url": url});
        let invoice =
            |lines| serde_json::json!({"object": "invoice", "lines": lines, "other": list(true, "/v1/y")}).to_string();
        assert_eq!(cut_off("invoice", &invoice(list(true, "/v1/x"))), [("lines".to_owned(), "/v1/x".to_owned())]);
        assert_eq!(cut_off("invoice", &invoice(list(false, "/v1/x"))), []);
        assert_eq!(cut_off("invoice", &invoice(list(true, "https://elsewhere.example/"))), []);
    }
}
