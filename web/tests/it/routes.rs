//! The table is everything that is served, and everybody gets what it says.

use billhook_core::Secret;
use billhook_web::{Access, Limits, METRICS_ROUTES, ROUTES, Route, Verb};

use crate::harness::{API_KEY, Reply, Server, fake_state};

const METHODS: [&str; 9] = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"];

fn served(verb: Verb) -> &'static [&'static str] {
    match verb {
        Verb::Get => &["GET", "HEAD"],
        Verb::Post => &["POST"],
        Verb::Delete => &["DELETE"],
    }
}

/// The line of the table for a method on a path, if there is one.
fn line(method: &str, path: &str) -> Option<&'static Route> {
    ROUTES.iter().find(|route| route.path == path && served(route.verb).contains(&method))
}

/// Whether a path of the table stands for this one: `{id}` is one segment of any text.
fn stands_for(route: &Route, path: &str) -> bool {
    let (mut of_table, mut given) = (route.path.split('/'), path.split('/'));
    let same = |(one, other): (&str, &str)| one == other || (one.starts_with('{') && !other.is_empty());
    of_table.by_ref().zip(given.by_ref()).all(same) && route.path.split('/').count() == path.split('/').count()
}

async fn ask(server: &Server, method: &str, path: &str, headers: &str) -> Reply {
    let path = path.replace("{id}", "cus_1").replace("{key}", "a-key");
    let request =
        format!("{method} {path} HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\nConnection: close\r\n{headers}\r\n");
    let mut client = server.connect().await;
    client.send(request).await;
    if method == "HEAD" { head_reply(&mut client).await } else { client.reply().await.expect("an answer") }
}

/// An answer to HEAD names a length that does not follow.
async fn head_reply(client: &mut crate::harness::Client) -> Reply {
    let text = String::from_utf8(client.rest().await).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").expect("a whole head");
    assert_eq!(body, "");
    let without_length: Vec<_> = head.lines().filter(|line| !line.starts_with("content-length")).collect();
    Reply::parse(&without_length)
}

#[tokio::test]
async fn every_method_on_every_path_gets_what_the_table_says() {
    let server = Server::start(Limits::default()).await;
    let key = format!("Authorization: {API_KEY}\r\n");
    for route in &ROUTES {
        for method in METHODS {
            let anonymous = ask(&server, method, route.path, "").await;
            let authorised = ask(&server, method, route.path, &key).await;
            let expected = match line(method, route.path).map(|line| line.access) {
                None => (405, 405),
                Some(Access::Public) => (200, 200),
                Some(Access::Signature) => (400, 400),
                Some(Access::ApiKey | Access::Metrics) => (401, 200),
                // No event key is configured here.
                Some(Access::EventKey) => (503, 503),
                // The server of these tests keeps no runs.
                Some(Access::FlowKey) => (401, 503),
            };
            assert_eq!((anonymous.status, authorised.status), expected, "{method} {}", route.path);
            if expected.0 == 405 {
                let allow = anonymous.header("allow").expect("what is allowed");
                assert!(served(route.verb).iter().all(|method| allow.contains(method)), "{allow}");
            }
            if expected.0 == 401 && method != "HEAD" {
                let is_flow = route.access == Access::FlowKey;
                assert_eq!(anonymous.body, if is_flow { "Authentication failed" } else { "Unauthorized" });
            }
            for reply in [anonymous, authorised] {
                assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
                assert_eq!(reply.header("cache-control"), Some("no-store"));
                assert_eq!(reply.header("server"), None);
            }
        }
    }
}

#[tokio::test]
async fn nothing_beside_the_table_is_served() {
    let server = Server::start(Limits::default()).await;
    let mut paths: Vec<String> = [
        "/",
        "/index.html",
        "/admin",
        "/api",
        "/api/",
        "/e",
        "/e/",
        "/e/a-key/b",
        "/fn/register",
        "/login",
        "/sync/yearly",
        "/sync/single",
        "/sync/single/",
        "/sync/single/cus_1/x",
        "/sync/runs/1",
        "/v1",
        "/v1/events/evt_1/data",
        "/v1/runs/1/jobs/2",
        "/.env",
        "/.git/config",
        "/debug/pprof",
        "/actuator/health",
        "/%2e%2e/metrics",
        "/../metrics",
        "/metrics%00",
        "/metrics;x",
        "//metrics",
        "/healthz/../metrics",
    ]
    .map(str::to_owned)
    .into();
    for route in ROUTES.iter().chain(&METRICS_ROUTES) {
        paths.push(format!("{}/", route.path));
        paths.push(format!("{}/x", route.path));
        paths.push(format!("/x{}", route.path));
        paths.push(format!("/{}", route.path));
        paths.push(route.path.to_uppercase());
        // One letter less of an id is another id.
        if !route.path.ends_with('}') {
            paths.push(route.path[..route.path.len() - 1].to_owned());
        }
    }
    paths.retain(|path| !ROUTES.iter().any(|route| stands_for(route, path)));
    for path in &paths {
        for method in ["GET", "POST", "DELETE"] {
            let reply = ask(&server, method, path, "").await;
            assert_eq!((reply.status, reply.body.as_str()), (404, "Not Found"), "{method} {path}");
            assert_eq!(reply.header("x-content-type-options"), Some("nosniff"));
        }
    }
}

#[tokio::test]
async fn no_two_lines_of_the_table_are_the_same() {
    for table in [&ROUTES[..], &METRICS_ROUTES[..]] {
        for (at, route) in table.iter().enumerate() {
            assert!(!table[..at].iter().any(|other| other.path == route.path && other.verb == route.verb));
        }
    }
}

#[test]
fn the_page_of_routes_names_every_route() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/http.md");
    let page = std::fs::read_to_string(path).unwrap();
    for route in &ROUTES {
        let name = format!("`{} {}`", served(route.verb)[0], route.path);
        assert!(page.contains(&name), "{name}");
    }
}

#[tokio::test]
async fn only_the_exact_key_opens_what_needs_one() {
    let server = Server::start(Limits::default()).await;
    for (header, status) in [
        (format!("Authorization: {API_KEY}\r\n"), 200),
        (format!("Authorization: Bearer {API_KEY}\r\n"), 200),
        (format!("Authorization: {API_KEY}x\r\n"), 401),
        (format!("Authorization: {}\r\n", &API_KEY[1..]), 401),
        (format!("Authorization: Basic {API_KEY}\r\n"), 401),
        (format!("Authorization: {API_KEY}\r\nAuthorization: {API_KEY}\r\n"), 401),
        (format!("X-Api-Key: {API_KEY}\r\n"), 401),
        ("Authorization: \r\n".to_owned(), 401),
        ("Authorization: schlüssel-\u{1F511}\r\n".to_owned(), 401),
    ] {
        let reply = ask(&server, "GET", "/metrics", &header).await;
        assert_eq!(reply.status, status, "{header}");
        assert!(status == 200 || reply.body == "Unauthorized");
    }
    assert_eq!(ask(&server, "GET", &format!("/metrics?key={API_KEY}"), "").await.status, 401);
}

#[tokio::test]
async fn without_a_key_what_needs_one_is_closed_to_all() {
    for api_key in [None, Some(Secret::new(""))] {
        let server = Server::start_with(Limits::default(), billhook_web::State { api_key, ..fake_state() }).await;
        for header in ["", "Authorization: \r\n", "Authorization: Bearer \r\n", "Authorization: false\r\n"] {
            assert_eq!(ask(&server, "GET", "/metrics", header).await.status, 401);
        }
    }
}

#[tokio::test]
async fn open_metrics_need_no_key() {
    let state = billhook_web::State { metrics_open: true, api_key: None, ..fake_state() };
    let server = Server::start_with(Limits::default(), state).await;
    assert_eq!(ask(&server, "GET", "/metrics", "").await.status, 200);
}
