//! Signatures of deliveries.

use std::fmt::Write as _;

use ring::hmac;

/// The value of `Stripe-Signature`: one `v1` for each secret. `at` in Unix seconds of real time, which is what receivers compare.
pub(super) fn header(secrets: &[String], at: i64, body: &[u8]) -> String {
    let mut header = format!("t={at}");
    for secret in secrets {
        let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()));
        context.update(at.to_string().as_bytes());
        context.update(b".");
        context.update(body);
        header.push_str(",v1=");
        for byte in context.sign().as_ref() {
            // Writing into a String cannot fail.
            let _ = write!(header, "{byte:02x}");
        }
    }
    header
}
