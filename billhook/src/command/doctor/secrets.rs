//! Secrets, and who can reach the server.

use billhook_core::Secret;
use billhook_stripe::signature::{Verifier, sign};

use super::Findings;
use crate::local_secret;
use crate::settings::configuration::Configuration;

/// Checks the webhook secrets and the keys.
pub fn check(configuration: &Configuration, findings: &mut Findings) {
    let secrets = &configuration.stripe.webhook_secrets;
    if secrets.is_empty() {
        check_local(configuration, findings);
    } else {
        for (index, secret) in secrets.iter().enumerate() {
            check_signing(secret, &format!("webhook secret number {}", index + 1), configuration, findings);
        }
    }
    check_reach(configuration, findings);
}

fn check_local(configuration: &Configuration, findings: &mut Findings) {
    let Some(file) = configuration.local_secret_file() else {
        let action = "set the endpoint's signing secret (whsec_…)";
        return findings.fail("STRIPE_WEBHOOK_SECRET is not set", action);
    };
    match local_secret::read(&file) {
        Ok(Some(secret)) => check_signing(&secret, "the local webhook secret", configuration, findings),
        Ok(None) => findings.warn(
            "STRIPE_WEBHOOK_SECRET is not set; the first start makes a local one",
            "set it to receive deliveries from Stripe",
        ),
        Err(error) => findings.fail(format!("{error:#}"), format!("chmod 600 {0}, or remove it", file.display())),
    }
}

/// Signs a sample and verifies it, as a delivery would be.
fn check_signing(secret: &Secret, name: &str, configuration: &Configuration, findings: &mut Findings) {
    let now = jiff::Timestamp::now().as_second();
    let body = br#"{"object":"event"}"#;
    let header = sign(secret, now, body);
    let verifier = Verifier::new(std::slice::from_ref(secret));
    match verifier.verify(&header, body, now, i64::from(configuration.ingest.tolerance_seconds)) {
        Ok(_) => findings.ok(format!("{name} signs and verifies")),
        Err(error) => findings.fail(format!("{name} does not verify its own signature: {error}"), "report this"),
    }
}

fn check_reach(configuration: &Configuration, findings: &mut Findings) {
    let listen = configuration.listen;
    if configuration.is_loopback() {
        findings.ok(format!("{listen} is reachable from this machine only"));
    } else {
        findings.ok(format!("{listen} is reachable from other machines"));
        if configuration.api_key.is_none() {
            findings.warn("API_KEY is not set: /metrics and the admin endpoints answer 401", "set it to use them");
        }
    }
    if let Some(address) = configuration.metrics_listen
        && !address.ip().is_loopback()
    {
        findings.warn(format!("/metrics is open to whoever reaches {address}"), "keep the address inside your network");
    }
}
