//! The table of writes.

use serde_json::Value;

use crate::account::Account;
use crate::error::ApiError;
use crate::params::Params;

/// HTTP method of a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// A computed read.
    Get,
    /// A write.
    Post,
    /// A removal.
    Delete,
}

/// What a route does. The answer is an object of the newest shape (or a deletion stub, or a list); the caller renders it in the
/// request's version, cuts embedded lists and expands.
pub type Handler = fn(&mut Account, &Params) -> Result<Value, ApiError>;

/// One line of the table.
#[derive(Debug, Clone, Copy)]
pub struct WriteRoute {
    /// Method.
    pub method: Method,
    /// `/v1/customers/{id}`; a brace matches one segment, which [`Params::path`] gives by its name.
    pub path: &'static str,
    /// What it does.
    pub handler: Handler,
}

/// A POST route.
pub const fn post(path: &'static str, handler: Handler) -> WriteRoute {
    WriteRoute { method: Method::Post, path, handler }
}

/// A DELETE route.
pub const fn delete(path: &'static str, handler: Handler) -> WriteRoute {
    WriteRoute { method: Method::Delete, path, handler }
}

/// A GET route that is computed instead of read from the account.
pub const fn get(path: &'static str, handler: Handler) -> WriteRoute {
    WriteRoute { method: Method::Get, path, handler }
}
