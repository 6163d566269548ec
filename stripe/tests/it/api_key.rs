//! A key that Stripe refuses, and how things go on.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use billhook_core::SystemClock;
use billhook_core::metrics::Metrics;
use billhook_stripe::api::{Answer, Api, ApiError, ApiKey, ApiOptions, ApiState, Class, Get, Limits, OnKeyRefused};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::api_server::{Asked, Reply, Server, error, get, ok, quick};

const OLD: &str = "rk_test_oldoldoldold";
const NEW: &str = "rk_test_newnewnewnew";

fn invalid_key() -> Reply {
    error(401, "invalid_request_error", "", "Invalid API Key provided: rk_test_********dold")
}

/// Accepts the new key only.
fn only_new(asked: &Asked) -> Reply {
    if asked.header("authorization") == Some(&format!("Bearer {NEW}")) { ok() } else { invalid_key() }
}

/// Replaces a file as an administrator's tools do: another one is renamed to it.
fn write_key(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    std::fs::write(&beside, text).unwrap();
    std::fs::rename(beside, path).unwrap();
}

struct Setup {
    _directory: TempDir,
    file: PathBuf,
    api: Api,
    metrics: Arc<Metrics>,
}

fn with_file(server: &Server, change: impl FnOnce(&mut ApiOptions)) -> Setup {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("key");
    write_key(&file, &format!("{OLD}\n"));
    let metrics = Arc::new(Metrics::new());
    let mut options = ApiOptions { key: ApiKey::File(file.clone()), ..server.options() };
    change(&mut options);
    let api = Api::new(options, Arc::new(SystemClock), Arc::clone(&metrics)).unwrap();
    Setup { _directory: directory, file, api, metrics }
}

fn start_get(api: &Api, path: &'static str) -> JoinHandle<Result<Answer, ApiError>> {
    let api = api.clone();
    tokio::spawn(async move { get(&api, path).await })
}

async fn paused(api: &Api) -> String {
    let mut state = api.state();
    let state = state.wait_for(|state| matches!(state, ApiState::Paused { .. })).await.unwrap().clone();
    let ApiState::Paused { message } = state else { unreachable!("waited for it") };
    message
}

#[tokio::test]
async fn a_refused_key_pauses_everything_until_its_file_has_another() {
    let server = Server::start(only_new).await;
    let Setup { file, api, metrics, .. } = &with_file(&server, |_| {});
    let waiting: Vec<_> = (0..20).map(|_| start_get(api, "/v1/customers")).collect();
    let message = paused(api).await;
    assert!(message.contains("Invalid API Key") && message.contains(file.to_str().unwrap()), "{message}");
    assert_eq!(metrics.api_paused.get(), 1);
    // What comes now waits as well, without asking.
    let later = start_get(api, "/v1/invoices");
    tokio::task::yield_now().await;
    let before = server.asked().len();
    write_key(file, NEW);
    for request in waiting.into_iter().chain([later]) {
        request.await.unwrap().unwrap();
    }
    assert_eq!((metrics.api_paused.get(), api.state().borrow().clone()), (0, ApiState::Working));
    // One attempt for each with the new key; with the old one at most one each and a probe.
    let asked = server.asked();
    let is_with_new = |one: &&Asked| one.header("authorization").unwrap().ends_with(NEW);
    assert_eq!(asked.iter().filter(is_with_new).filter(|one| !one.target.starts_with("/v1/events")).count(), 21);
    assert!(before <= 21, "{before}");
    assert!(asked[..before].iter().all(|one| one.target != "/v1/invoices"), "{asked:?}");
}

#[tokio::test]
async fn a_key_that_was_changed_in_time_is_used_without_a_pause() {
    let server = Server::start(only_new).await;
    let Setup { file, api, .. } = &with_file(&server, |options| options.limits.key_look_ms = 600_000);
    let states = api.state();
    write_key(file, NEW);
    get(api, "/v1/customers").await.unwrap();
    assert!(!states.has_changed().unwrap());
    assert_eq!(server.asked().len(), 2, "refused once, then read anew");
}

#[tokio::test]
async fn a_changed_file_is_noticed_before_the_old_key_is_refused() {
    let server = Server::start(|_| ok()).await;
    let Setup { file, api, .. } = &with_file(&server, |options| options.limits.key_look_ms = 0);
    get(api, "/v1/customers").await.unwrap();
    write_key(file, NEW);
    get(api, "/v1/customers").await.unwrap();
    // Nonsense in the file does not replace a key that works.
    write_key(file, "");
    get(api, "/v1/customers").await.unwrap();
    let keys: Vec<_> = server.asked().iter().map(|one| one.header("authorization").unwrap()[7..].to_owned()).collect();
    assert_eq!(keys, [OLD, NEW, NEW]);
}

#[tokio::test]
async fn what_does_not_help_is_explained_and_not_sent() {
    let server = Server::start(only_new).await;
    let Setup { file, api, .. } = &with_file(&server, |_| {});
    let request = start_get(api, "/v1/customers");
    paused(api).await;
    let before = server.asked().len();
    let mut state = api.state();
    for (text, says) in [
        ("pk_test_canary", "publishable"),
        ("", "is empty"),
        ("rk_live_canarycanary", "another mode"),
        ("whsec_canary", "webhook secret"),
    ] {
        write_key(file, text);
        let explained = |state: &ApiState| matches!(state, ApiState::Paused { message } if message.contains(says));
        let shown = format!("{:?}", state.wait_for(explained).await.unwrap());
        assert!(!shown.contains("canary"), "{shown}");
    }
    assert_eq!(server.asked().len(), before);
    write_key(file, NEW);
    request.await.unwrap().unwrap();
}

#[tokio::test]
async fn the_same_key_is_probed_and_goes_on_when_stripe_takes_it_again() {
    let is_good = Arc::new(AtomicBool::new(false));
    let seen = Arc::clone(&is_good);
    let server = Server::start(move |_| if seen.load(Ordering::SeqCst) { ok() } else { invalid_key() }).await;
    let options = ApiOptions { limits: Limits { key_probe_ms: 30, ..quick() }, ..server.options() };
    let api = crate::api_server::api(options);
    let request = start_get(&api, "/v1/customers");
    let message = paused(&api).await;
    assert!(message.contains("set a key that works"), "{message}");
    is_good.store(true, Ordering::SeqCst);
    request.await.unwrap().unwrap();
    let targets: Vec<_> = server.asked().into_iter().map(|one| one.target).collect();
    assert_eq!((targets[0].as_str(), targets.last().unwrap().as_str()), ("/v1/customers", "/v1/customers"));
    assert!(targets[1..targets.len() - 1].iter().all(|target| target == "/v1/events?limit=1"), "{targets:?}");
}

#[tokio::test]
async fn a_paused_client_does_not_hammer() {
    let server = Server::start(|_| invalid_key()).await;
    let Setup { file, api, .. } = &with_file(&server, |_| {});
    let requests: Vec<_> = (0..5).map(|_| start_get(api, "/v1/customers")).collect();
    paused(api).await;
    // Each complaint about the file is a look at it.
    let mut state = api.state();
    for round in 0..20 {
        let (text, says) = [("", "is empty"), ("pk_test_1", "publishable")][round % 2];
        write_key(file, text);
        let explained = |state: &ApiState| matches!(state, ApiState::Paused { message } if message.contains(says));
        let _ = state.wait_for(explained).await.unwrap();
    }
    assert!(server.asked().len() <= 6, "{}", server.asked().len());
    for request in requests {
        assert!(!request.is_finished());
        request.abort();
    }
}

#[tokio::test]
async fn commands_are_told_instead_of_waiting() {
    let server = Server::start(|_| invalid_key()).await;
    let api = crate::api_server::api(ApiOptions { on_key_refused: OnKeyRefused::Fail, ..server.options() });
    for _ in 0..3 {
        let error = get(&api, "/v1/customers").await.unwrap_err();
        assert!(matches!(error, ApiError::KeyRefused(_)), "{error}");
        assert_eq!(error.request_id(), Some("req_0"));
    }
    assert_eq!(server.asked().len(), 2, "one request and one probe");
}

#[tokio::test]
async fn one_refused_resource_stops_nothing_else() {
    let server = Server::start(|asked| match asked.target.as_str() {
        "/v1/invoices" => error(403, "invalid_request_error", "", "This key lacks rak_invoice_read"),
        // Some refusals of one thing have the status of a bad key.
        "/v1/odd" => error(401, "invalid_request_error", "", "Not for you"),
        "/v1/customers" if asked.header("stripe-account").is_some() => {
            error(403, "invalid_request_error", "account_invalid", "Application access may have been revoked: API key")
        }
        _ => ok(),
    })
    .await;
    let api = server.api();
    let states = api.state();
    for (path, account) in [("/v1/invoices", ""), ("/v1/odd", ""), ("/v1/customers", "acct_1")] {
        let error = api.get(&Get { path, query: &[], account, class: Class::Backfill }).await.unwrap_err();
        assert!(matches!(error, ApiError::NoPermission(_)), "{path}: {error}");
        get(&api, "/v1/customers").await.unwrap();
    }
    assert!(!states.has_changed().unwrap());
}

#[tokio::test]
async fn an_expired_key_is_refused_whatever_the_status() {
    for reply in [
        error(401, "invalid_request_error", "api_key_expired", "Expired API Key provided"),
        error(403, "invalid_request_error", "api_key_expired", "Expired"),
        error(403, "invalid_request_error", "", "The API key provided does not allow requests from your IP address"),
    ] {
        let server = Server::script(vec![reply]).await;
        let api = crate::api_server::api(ApiOptions { on_key_refused: OnKeyRefused::Fail, ..server.options() });
        assert!(matches!(get(&api, "/v1/customers").await, Err(ApiError::KeyRefused(_))));
    }
}
