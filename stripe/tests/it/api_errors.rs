//! What errors say, and what they never say.

use std::io::Write;
use std::sync::{Arc, Mutex};

use billhook_stripe::api::{ApiError, Failure};
use tracing_subscriber::fmt::MakeWriter;

use crate::api_server::{KEY, Reply, Server, error, get, json};

async fn error_of(reply: Reply) -> ApiError {
    let server = Server::script(vec![reply]).await;
    get(&server.api(), "/v1/issuing/cards?limit=1").await.unwrap_err()
}

#[tokio::test]
async fn errors_are_told_apart() {
    fn kind(error: &ApiError) -> &'static str {
        match error {
            ApiError::KeyRefused(_) => "key",
            ApiError::NoPermission(_) => "permission",
            ApiError::NotFound(_) => "missing",
            ApiError::NotAvailable(_) => "not available",
            ApiError::Refused(_) => "refused",
            ApiError::Unavailable(_) => "unavailable",
            ApiError::TooLarge(_) => "too large",
            ApiError::Configuration(_) => "configuration",
        }
    }
    let invalid = "invalid_request_error";
    for (status, code, message, expected) in [
        (404, "resource_missing", "No such customer: 'cus_1'", "missing"),
        (400, "resource_missing", "No such object: starting_after", "missing"),
        (404, "not_found", "gone", "missing"),
        (404, "", "Not found", "missing"),
        (
            404,
            "resource_missing",
            "No such customer: 'cus_1'; a similar object exists in live mode, but a test mode key was used",
            "refused",
        ),
        (404, "", "Unrecognized request URL (GET: /v1/treasury/financial_accounts).", "not available"),
        (400, "", "Your account is not set up to use Issuing. Please visit the dashboard", "not available"),
        (400, "", "Your account is not set up to use Identity.", "not available"),
        (400, "", "You are not onboarded to Treasury", "not available"),
        (400, "", "Accounts v2 is not enabled for your platform", "not available"),
        (403, "", "This API surface is not enabled", "not available"),
        (400, "", "Sorry, this isn't available in test mode", "not available"),
        (400, "", "This is only available in testmode", "not available"),
        (403, "", "You are not authorised for forwarding requests in livemode", "not available"),
        (
            403,
            "more_permissions_required",
            "The provided key 'rk_test_***' does not have the required permissions",
            "permission",
        ),
        (
            403,
            "account_invalid",
            "The provided key does not have access to account 'acct_1'. Application access may have been revoked.",
            "permission",
        ),
        (400, "parameter_invalid_integer", "Invalid integer", "refused"),
        (402, "card_declined", "declined", "refused"),
    ] {
        let error = error_of(error(status, invalid, code, message)).await;
        assert_eq!(kind(&error), expected, "{status} {code} {message}");
    }
}

#[tokio::test]
async fn an_error_names_its_request_and_what_stripe_said() {
    let error =
        error_of(error(400, "invalid_request_error", "parameter_unknown", "Received unknown parameter: id")).await;
    let expected = Failure {
        method: "GET",
        path: "/v1/issuing/cards".to_owned(),
        status: Some(400),
        request_id: Some("req_0".to_owned()),
        code: Some("parameter_unknown".to_owned()),
        param: Some("id".to_owned()),
        read_at: error.failure().and_then(|failure| failure.read_at),
        message: "Received unknown parameter: id".to_owned(),
    };
    assert_eq!(error.failure(), Some(&expected));
    assert_eq!(
        error.to_string(),
        "Stripe declines the request. GET /v1/issuing/cards: Received unknown parameter: id (status 400, code parameter_unknown, \
         parameter id, request req_0). The same request will be declined again"
    );
}

#[tokio::test]
async fn a_login_page_is_recognised_as_one() {
    let error = error_of(json(200, "<!doctype html><title>Hotel WiFi</title>")).await;
    assert!(error.to_string().contains("captive portal"), "{error}");
    assert!(!error.to_string().contains("Hotel"), "{error}");
}

#[tokio::test]
async fn a_redirect_names_the_host_only() {
    let location = "https://user:pw@portal.example:8080/login?token=canary";
    let error = error_of(json(307, "").with("Location", location)).await.to_string();
    assert!(error.contains("redirected to portal.example:8080"), "{error}");
    assert!(!error.contains("canary") && !error.contains("pw@") && !error.contains("login"), "{error}");
}

#[tokio::test]
async fn a_message_is_bounded_and_masked() {
    let message = format!("{} for jenny@example.com with {KEY} {}", "x".repeat(50), "y".repeat(100_000));
    let text = error_of(error(400, "invalid_request_error", "c", &message)).await.to_string();
    assert!(text.len() < 1_500, "{}", text.len());
    assert!(!text.contains(KEY) && !text.contains("jenny"), "{text}");
    // Nor when the cut goes through the key.
    for length in 440..500 {
        let message = format!("{}{KEY}", "x ".repeat(length / 2));
        let text = error_of(error(400, "invalid_request_error", "c", &message)).await.to_string();
        assert!(!text.contains("CANARY"), "{text}");
    }
}

/// Collects what is logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Log {
    type Writer = Self;
    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[test]
fn the_key_is_nowhere_to_be_seen() {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE).with_writer(log.clone()).finish();
    // For the whole process: with one for this thread only, other tests could switch log lines off for good.
    tracing::subscriber::set_global_default(subscriber).unwrap();
    let mut shown = {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut shown = String::new();
            let server = Server::script(vec![
                error(500, "api_error", "", &format!("echo {KEY}")),
                Reply::Reset,
                json(200, &format!("<html>{KEY}</html>")),
            ])
            .await;
            let options = server.options();
            shown.push_str(&format!("{options:?}"));
            let api = crate::api_server::api(options);
            let error = get(&api, "/v1/customers").await.unwrap_err();
            shown.push_str(&format!("{api:?} {api:#?} {error} {error:?}"));

            let server = Server::script(vec![error_401()]).await;
            let options = billhook_stripe::api::ApiOptions {
                on_key_refused: billhook_stripe::api::OnKeyRefused::Fail,
                ..server.options()
            };
            let api = crate::api_server::api(options);
            let error = get(&api, "/v1/customers").await.unwrap_err();
            shown.push_str(&format!("{error} {error:?} {:?} {api:?}", api.state().borrow()));
            shown
        })
    };
    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    assert!(logged.contains("Stripe was asked") && logged.contains("requests to Stripe are paused"), "{logged}");
    shown.push_str(&logged);
    assert!(!shown.contains("CANARY") && !shown.contains("canary"), "{shown}");
}

fn error_401() -> Reply {
    error(401, "invalid_request_error", "", &format!("Invalid API Key provided: {KEY}"))
}
