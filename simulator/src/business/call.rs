//! Writes without HTTP, for the story and for tests.

use serde_json::Value;

use super::routes;
use crate::account::Account;
use crate::error::ApiError;
use crate::params::Params;
use crate::routes::Method;

/// Does what a request to the API would do, by its path (`/v1/customers/cus_1`) and form (`items[0][price]`).
///
/// # Errors
/// As the API answers; 404 for a path that no write has.
pub fn call(account: &mut Account, method: Method, path: &str, form: &[(&str, &str)]) -> Result<Value, ApiError> {
    let given: Vec<&str> = path.split('/').collect();
    let matched = routes().filter(|route| route.method == method).find_map(|route| {
        let own: Vec<&str> = route.path.split('/').collect();
        let fits =
            own.len() == given.len() && own.iter().zip(&given).all(|(own, given)| own.starts_with('{') || own == given);
        fits.then(|| {
            let values = own.iter().zip(&given).filter_map(|(own, given)| {
                let name = own.strip_prefix('{')?.strip_suffix('}')?;
                Some((name.to_owned(), (*given).to_owned()))
            });
            (route.handler, values.collect::<Vec<_>>())
        })
    });
    let Some((handler, values)) = matched else {
        return Err(ApiError { status: 404, ..ApiError::invalid(format!("Unrecognized request URL ({path}).")) });
    };
    handler(account, &Params::from_pairs(values, form.iter().copied())?)
}
