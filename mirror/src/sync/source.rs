//! Reads objects through Stripe's API.

use billhook_store::Store;
use billhook_stripe::api::{Api, ApiError, Class, Get, path_segment};
use billhook_stripe::catalogue;

use super::complete::{self, Lists};
use super::streams;
use crate::object::Fields;
use crate::reread::{ObjectSource, Read, Unreadable};

/// Reads objects by kind and id, with their embedded lists complete. Cheap to clone.
#[derive(Clone)]
pub struct ApiSource {
    api: Api,
    store: Store,
    options: SourceOptions,
}

/// How objects are read.
#[derive(Debug, Clone)]
pub struct SourceOptions {
    /// The account of this installation; empty when it is not configured. Other accounts are named in the request.
    pub account: String,
    /// Whether lists that were read to their ends are put into the objects as well (`AUTO_EXPAND_LISTS`).
    pub auto_expand_lists: bool,
    /// The urgency of the requests.
    pub class: Class,
}

impl Default for SourceOptions {
    fn default() -> Self {
        Self { account: String::new(), auto_expand_lists: false, class: Class::Backfill }
    }
}

/// Objects below a parent: the property of the object that names the parent, and the path. Where the path is empty, it is the
/// catalogue's, whose first parameter is the parent.
const BELOW: &[(&str, &str, &str)] = &[
    ("bank_account", "customer", "/v1/customers/{parent}/sources/{id}"),
    ("bank_account", "account", "/v1/accounts/{parent}/external_accounts/{id}"),
    ("capability", "account", ""),
    ("card", "customer", "/v1/customers/{parent}/sources/{id}"),
    ("card", "account", "/v1/accounts/{parent}/external_accounts/{id}"),
    ("customer_balance_transaction", "customer", ""),
    ("customer_cash_balance_transaction", "customer", ""),
    ("fee_refund", "fee", ""),
    ("person", "account", ""),
    ("transfer_reversal", "transfer", ""),
    ("v2.core.account_person", "account", ""),
];

/// How often an object is read again because its lists changed while they were being read.
const ATTEMPTS_MAX: usize = 4;

impl ApiSource {
    /// A source. `store` tells the parents of objects whose path names one.
    pub fn new(api: Api, store: Store, options: SourceOptions) -> Self {
        Self { api, store, options }
    }

    /// Reads one object. One that Stripe does not have is [`Read::Gone`] and no error.
    ///
    /// # Errors
    /// Those of the API.
    pub async fn get(&self, object: &str, id: &str, account: &str) -> Result<Read, ApiError> {
        let account = if account == self.options.account { "" } else { account };
        if object == complete::SUMMARY {
            return complete::summary(&self.api, id, account, self.options.class).await;
        }
        let Some(path) = self.path(object, id).await else { return Ok(Read::Never(Unreadable::NoPath)) };
        let expand = streams::expansions(object).iter();
        let query: Vec<(String, String)> =
            expand.map(|property| ("expand[]".to_owned(), (*property).to_owned())).collect();
        let mut read = self.once(&path, &query, account).await?;
        for _ in 0..ATTEMPTS_MAX {
            let Read::Found { json, read_at, .. } = read else { return Ok(read) };
            let lists = complete::lists(&self.api, object, &json, account, self.options.class).await?;
            read = match lists {
                Lists::OnePage(lists) => return Ok(self.found(json, read_at, lists)),
                Lists::Pages(lists) => {
                    // The object may have changed while its lists were read page by page.
                    let again = self.once(&path, &query, account).await?;
                    match again {
                        Read::Found { json: now, .. } if now == json => return Ok(self.found(json, read_at, lists)),
                        again => again,
                    }
                }
                Lists::Moving => self.once(&path, &query, account).await?,
            };
        }
        Ok(Read::Later)
    }

    async fn once(&self, path: &str, query: &[(String, String)], account: &str) -> Result<Read, ApiError> {
        match self.api.get(&Get { path, query, account, class: self.options.class }).await {
            Ok(answer) => Ok(match String::from_utf8(answer.body.to_vec()) {
                Ok(json) => Read::Found { json, read_at: answer.read_at, lists: Vec::new() },
                Err(_) => Read::Never(Unreadable::Refused),
            }),
            Err(ApiError::NotFound(failure)) => {
                Ok(failure.read_at.map_or(Read::Later, |read_at| Read::Gone { read_at }))
            }
            Err(error) => Err(error),
        }
    }

    fn found(&self, json: String, read_at: i64, lists: Vec<crate::projection::CompletedList>) -> Read {
        let json = if self.options.auto_expand_lists { complete::expanded(json, &lists) } else { json };
        Read::Found { json, read_at, lists }
    }

    /// The path that answers with the object; `None` when there is none, or when its parent is not known.
    async fn path(&self, object: &str, id: &str) -> Option<String> {
        let kind = catalogue::kind_of(object)?;
        let segment = path_segment(id);
        let below: Vec<_> = BELOW.iter().filter(|(below, _, _)| *below == object).collect();
        if below.is_empty() {
            let path = kind.retrieve_path?;
            let whole = path.replace("{id}", &segment);
            return (!whole.contains('{')).then_some(whole);
        }
        let table = catalogue::table_of(object)?;
        let row = self.store.rows(table, &[id.to_owned()]).await.ok()?.pop()??;
        let fields = Fields::parse(&row.raw)?;
        below.into_iter().find_map(|(_, property, path)| {
            let parent = crate::convert::id_of(fields.get(property)?).filter(|parent| !parent.is_empty())?;
            let path = if path.is_empty() { parent_first(kind.retrieve_path?) } else { (*path).to_owned() };
            Some(path.replace("{parent}", &path_segment(&parent)).replace("{id}", &segment))
        })
    }
}

/// `/v1/accounts/{accountId}/persons/{id}` with its first parameter as `{parent}`.
fn parent_first(path: &str) -> String {
    match (path.find('{'), path.find('}')) {
        (Some(from), Some(to)) if from < to => format!("{}{{parent}}{}", &path[..from], &path[to + 1..]),
        _ => path.to_owned(),
    }
}

impl ObjectSource for ApiSource {
    async fn read(&self, object: &str, id: &str, account: &str) -> Read {
        match self.get(object, id, account).await {
            Ok(read) => read,
            Err(error) => {
                tracing::debug!(%error, object, id, "an object could not be read");
                match error {
                    ApiError::NoPermission(_) => Read::Never(Unreadable::NoPermission),
                    ApiError::NotAvailable(_) | ApiError::Refused(_) => Read::Never(Unreadable::Refused),
                    _ => Read::Later,
                }
            }
        }
    }
}
