//! What happens in the account when somebody writes to it.

use crate::routes::WriteRoute;

/// Every write of the business, and reads that are computed. Literal paths win over braces.
pub static ROUTES: &[WriteRoute] = &[];
