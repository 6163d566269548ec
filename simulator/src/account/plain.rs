//! Objects of kinds that have no business of their own.

use billhook_core::table::{ColumnType, Source};
use billhook_stripe::catalogue;
use serde_json::{Map, Value, json};

use super::Account;

impl Account {
    /// A new object of any kind of the catalogue, not yet stored: `id`, `object`, `created` and `livemode` are set, `metadata` is
    /// empty, and every other property of the kind is null or, for a boolean, false. Of a kind without a known prefix the id
    /// begins with the kind's own name.
    pub fn plain(&mut self, kind: &str) -> Map<String, Value> {
        let mut object = Map::new();
        let table = catalogue::table_of(kind);
        for column in table.map_or(&[][..], |table| table.columns.as_slice()) {
            let is_own = !column.name.starts_with('_') && matches!(column.source, Source::Object(_));
            // Lists are there when an object has one, and when they are asked for.
            let is_list = table.is_some_and(|table| table.children.iter().any(|list| list.property == column.name));
            if is_own && !is_list && column.name != "deleted" {
                let value = if column.column_type == ColumnType::Boolean { json!(false) } else { Value::Null };
                object.insert(column.name.clone(), value);
            }
        }
        if object.contains_key("metadata") {
            object.insert("metadata".to_owned(), json!({}));
        }
        let prefix = catalogue::kind_of(kind).and_then(|kind| kind.prefixes.first().copied());
        let own_prefix = || format!("{}_", kind.rsplit('.').next().unwrap_or(kind));
        let id = self.new_id(&prefix.map_or_else(own_prefix, str::to_owned));
        object.insert("id".to_owned(), json!(id));
        object.insert("object".to_owned(), json!(kind));
        if object.contains_key("livemode") {
            object.insert("livemode".to_owned(), json!(self.livemode()));
        }
        if object.contains_key("created") {
            let is_v2 = kind.starts_with("v2.");
            let created = if is_v2 { json!(super::rfc3339(self.now())) } else { json!(self.now()) };
            object.insert("created".to_owned(), created);
        }
        object
    }

    /// What the one object of a kind looks like before anybody stored it.
    pub(crate) fn plain_singleton(&mut self, kind: &str) -> Value {
        let mut object = self.plain(kind);
        object.remove("id");
        if kind == "balance" {
            for part in ["available", "pending", "connect_reserved"] {
                object.insert(part.to_owned(), json!([]));
            }
        }
        Value::Object(object)
    }

    /// The account as an object: what `GET /v1/account` shows.
    pub(crate) fn own(&self) -> Value {
        self.get("account", self.id()).unwrap_or_else(|| {
            json!({
                "id": self.id(),
                "object": "account",
                "business_type": "company",
                "charges_enabled": true,
                "country": "US",
                "default_currency": "usd",
                "details_submitted": true,
                "email": "owner@simulator.example",
                "metadata": {},
                "payouts_enabled": true,
                "type": "standard",
            })
        })
    }
}
