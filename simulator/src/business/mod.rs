//! What happens in the account when somebody writes to it.

use serde_json::Value;

use crate::account::Account;
use crate::error::ApiError;
use crate::params::Params;
use crate::routes::WriteRoute;

/// Every write of the business, and reads that are computed. Literal paths win over braces.
pub static ROUTES: &[WriteRoute] = &[];

/// What `POST /_simulator/<name>` does, for names that the simulator itself does not know. `None` for unknown ones.
pub fn control(account: &mut Account, name: &str, params: &Params) -> Option<Result<Value, ApiError>> {
    let _ = (account, name, params);
    None
}
