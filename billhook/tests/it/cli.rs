//! The command line of the real binary: help, exit codes, what goes where, and the server's start and stop.
#![expect(clippy::unwrap_used, reason = "a test whose preparation fails has to fail")]

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// A webhook secret of these tests.
const SECRET: &str = "whsec_0123456789abcdef";

/// Longest wait for an answer.
const DEADLINE: Duration = Duration::from_secs(30);

/// The program in a working directory of its own, with an environment of its own.
pub struct Program {
    pub directory: TempDir,
    environment: Vec<(&'static str, &'static str)>,
}

impl Program {
    pub fn new() -> Self {
        Self { directory: TempDir::new().unwrap(), environment: Vec::new() }
    }

    pub fn set(mut self, name: &'static str, value: &'static str) -> Self {
        self.environment.push((name, value));
        self
    }

    pub fn file(self, name: &str, text: &str) -> Self {
        std::fs::write(self.directory.path().join(name), text).unwrap();
        self
    }

    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_billhook"));
        command.args(arguments).env_clear().envs(self.environment.iter().copied());
        command.current_dir(self.directory.path()).stdin(Stdio::null());
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Output {
        self.command(arguments).output().unwrap()
    }

    /// Starts the server on a free port and waits until it listens.
    fn serve(&self) -> Serving {
        let mut command = self.command(&["serve", "--port", "0"]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let log = BufReader::new(child.stderr.take().unwrap());
        let mut serving = Serving { child, log, text: String::new(), url: String::new() };
        serving.wait_for("\"listening\"");
        let line = serving.text.lines().last().unwrap();
        let fields: serde_json::Value = serde_json::from_str(line).unwrap();
        serving.url = format!("http://{}/webhooks", fields["address"].as_str().unwrap());
        serving
    }
}

/// A running server.
struct Serving {
    child: Child,
    log: BufReader<std::process::ChildStderr>,
    text: String,
    url: String,
}

impl Serving {
    /// Ends it and gives its exit code and everything it logged.
    fn stop(self, signal: Signal) -> (Option<i32>, String) {
        self.signal(signal);
        self.end()
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        // Both fail when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Serving {
    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Reads the log until a line contains the text.
    fn wait_for(&mut self, expected: &str) {
        while !self.text.contains(expected) {
            assert!(self.log.read_line(&mut self.text).unwrap() > 0, "the server ended: {}", self.text);
        }
    }

    /// Reads the log to its end and gives the exit code.
    fn end(mut self) -> (Option<i32>, String) {
        self.log.read_to_string(&mut self.text).unwrap();
        (self.child.wait().unwrap().code(), std::mem::take(&mut self.text))
    }

    /// Sends the head of a delivery and waits until the server reads its body.
    fn begin_delivery(&self, body: &[u8]) -> TcpStream {
        let now = jiff::Timestamp::now().as_second();
        let signature = billhook_stripe::signature::sign(&billhook_core::Secret::new(SECRET), now, body);
        let address = self.url.trim_start_matches("http://").trim_end_matches("/webhooks");
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        let head = format!(
            "POST /webhooks HTTP/1.1\r\nhost: {address}\r\nstripe-signature: {signature}\r\ncontent-length: {}\r\n\
             expect: 100-continue\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        let mut answer = [0; "HTTP/1.1 100 Continue\r\n\r\n".len()];
        stream.read_exact(&mut answer).unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 100 "));
        stream
    }
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[test]
fn help_shows_commands_and_settings_by_group() {
    let program = Program::new();
    let short = program.run(&["-h"]);
    assert_eq!(short.status.code(), Some(0));
    assert!(stdout(&short).contains("serve") && stdout(&short).contains("--listen"));
    assert!(!stdout(&short).contains("--ingest-lag-seconds-max") && !stdout(&short).contains("docs "));
    let long = program.run(&["serve", "--help"]);
    for expected in ["General settings:", "Taking deliveries:", "--ingest-lag-seconds-max", "DATABASE_URL", "--check"] {
        assert!(stdout(&long).contains(expected), "{expected}");
    }
}

#[test]
fn a_wrong_command_line_is_exit_code_2() {
    let program = Program::new();
    for arguments in [&["no-such-command"][..], &["serve", "--no-such-flag"], &[]] {
        let output = program.run(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(output.stdout.is_empty());
    }
}

#[test]
fn a_failure_is_one_line_and_a_hint() {
    let output = Program::new().run(&["events", "list"]);
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[0], "billhook: there is no database at billhook.db");
    assert!(lines.len() == 2 && lines[1].starts_with("hint: "), "{text}");
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let program = Program::new();
    let mut child =
        program.command(&["completions", "bash"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), stderr(&output)), (Some(0), String::new()));
}

#[test]
fn completions_are_written_for_every_shell() {
    let program = Program::new();
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let output = program.run(&["completions", shell]);
        assert!(output.status.success() && stdout(&output).contains("send-test"), "{shell}");
    }
}

#[test]
fn prisma_follows_the_database_and_the_provider() {
    let program = Program::new();
    assert!(stdout(&program.run(&["prisma"])).contains("\"sqlite\""));
    assert!(stdout(&program.run(&["prisma", "--provider", "postgresql"])).contains("\"postgresql\""));
    let program = program.set("DATABASE_URL", "postgres://localhost/app");
    assert!(stdout(&program.run(&["prisma"])).contains("\"postgresql\""));
    assert!(program.run(&["prisma", "--output", "schema.prisma"]).stdout.is_empty());
    let written = std::fs::read_to_string(program.directory.path().join("schema.prisma")).unwrap();
    assert!(written.contains("model customers"));
}

#[test]
fn the_first_minute_works_without_any_setting() {
    let program = Program::new();
    let serving = program.serve();
    let secret_file = program.directory.path().join("billhook.db.secret");
    let secret = std::fs::read_to_string(&secret_file).unwrap();
    assert_eq!(std::fs::metadata(&secret_file).unwrap().permissions().mode() & 0o777, 0o600);

    let sent = program.run(&["events", "send-test", "--url", &serving.url]);
    assert!(sent.status.success(), "{}{}", stdout(&sent), stderr(&sent));
    assert!(stdout(&sent).starts_with("200 evt_test") && stdout(&sent).contains(" in table customers after "));

    let listed = program.run(&["events", "list", "--json"]);
    let events: serde_json::Value = serde_json::from_slice(&listed.stdout).unwrap();
    assert_eq!((&events[0]["type"], &events[0]["state"]), (&"customer.created".into(), &"applied".into()));
    let id = events[0]["event_id"].as_str().unwrap();
    let shown = program.run(&["events", "show", id]);
    assert!(stdout(&shown).contains("customer.created") && !stdout(&shown).contains("test@example.com"));
    assert!(stdout(&program.run(&["events", "show", id, "--body"])).contains("\"email\": \"test@example.com\""));
    assert_eq!(program.run(&["events", "replay", id]).status.code(), Some(0));
    assert_eq!(program.run(&["events", "replay", id, "evt_none"]).status.code(), Some(1));
    assert!(stdout(&program.run(&["rebuild", "customers"])).contains("customers: 1 rows read"));
    assert_eq!(program.run(&["doctor"]).status.code(), Some(0));

    let (code, log) = serving.stop(Signal::TERM);
    assert_eq!(code, Some(0), "{log}");
    assert!(log.contains("stopped") && !log.contains(secret.trim()), "{log}");
    assert!(log.contains("billhook events send-test"));

    // The same secret serves the next start.
    let again = program.serve();
    assert_eq!(std::fs::read_to_string(&secret_file).unwrap(), secret);
    assert_eq!(again.stop(Signal::INT).0, Some(0));
}

#[test]
fn a_delivery_of_the_other_mode_can_be_seen_and_decided_about() {
    let program = Program::new().set("BILLHOOK_MODE", "live").set("STRIPE_WEBHOOK_SECRET", SECRET);
    let serving = program.serve();
    let body = r#"{"id":"evt_other","object":"event","type":"customer.created","created":1700000000,"livemode":false,
        "data":{"object":{"id":"cus_1","object":"customer","created":1700000000,"livemode":false}}}"#;
    let program = program.file("body.json", body);
    let sent = program.run(&["events", "send-test", "--url", &serving.url, "--file", "body.json"]);
    assert_eq!(sent.status.code(), Some(1));
    assert!(stdout(&sent).contains("set aside: billhook quarantine show evt_other"), "{}", stdout(&sent));
    assert!(stdout(&program.run(&["quarantine", "list"])).contains("evt_other\tcustomer.created\twrong_mode"));
    assert!(stdout(&program.run(&["quarantine", "show", "evt_other"])).contains("what to do"));
    assert!(stdout(&program.run(&["quarantine", "drop", "--reason", "wrong_mode"])).starts_with("1 of 1 dropped"));
    assert_eq!(program.run(&["quarantine", "retry", "evt_other"]).status.code(), Some(1));

    let other = program.command(&["serve", "--port", "0", "--mode", "test"]).output().unwrap();
    assert_eq!(other.status.code(), Some(1), "a second server on the file is refused");
    assert_eq!(serving.stop(Signal::TERM).0, Some(0));
    let other = program.command(&["serve", "--port", "0", "--mode", "test"]).output().unwrap();
    assert!(
        stderr(&other).contains("billhook: the database mirrors live mode, and mode is test"),
        "{}",
        stderr(&other)
    );
}

#[test]
fn without_migrations_an_old_schema_is_refused() {
    let program = Program::new().set("DISABLE_MIGRATIONS", "true");
    let output = program.run(&["serve", "--port", "0"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("hint: run `billhook migrate`"), "{}", stderr(&output));
    assert!(stdout(&program.run(&["migrate"])).contains("tables made"));
    assert_eq!(stdout(&program.run(&["migrate"])), "the schema is current\n");
    assert_eq!(program.serve().stop(Signal::TERM).0, Some(0));
}

#[test]
fn an_address_in_use_is_said_with_a_hint() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = Program::new().run(&["serve", "--listen", &address]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains(&format!("billhook: listen on {address}: ")), "{}", stderr(&output));
    assert!(stderr(&output).contains("hint: another program listens there"));
}

#[test]
fn a_request_in_progress_is_finished_after_the_signal() {
    let program = Program::new().set("STRIPE_WEBHOOK_SECRET", SECRET);
    let mut serving = program.serve();
    let body = br#"{"id":"evt_late","object":"event","type":"customer.created","created":1700000000,"livemode":false,"data":{}}"#;
    let mut delivery = serving.begin_delivery(body);
    serving.signal(Signal::TERM);
    serving.wait_for("stopping");
    delivery.write_all(body).unwrap();
    let mut answer = String::new();
    delivery.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let (code, log) = serving.end();
    assert_eq!(code, Some(0), "{log}");
    assert!(stdout(&program.run(&["events", "list"])).contains("evt_late"));
}

#[test]
fn a_second_signal_ends_at_once() {
    let program = Program::new().set("STRIPE_WEBHOOK_SECRET", SECRET);
    let mut serving = program.serve();
    let unfinished = serving.begin_delivery(b"{}");
    serving.signal(Signal::TERM);
    serving.wait_for("stopping");
    serving.signal(Signal::TERM);
    let (code, log) = serving.end();
    assert_eq!(code, Some(1), "{log}");
    assert!(log.contains("second signal"));
    drop(unfinished);
}
