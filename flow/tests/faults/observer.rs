//! Hears of every call of a step, in the process of the test.

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use crate::functions::Told;

#[derive(Default)]
struct Shared {
    calls: Vec<Told>,
    /// Steps whose calls are not answered.
    held: HashSet<String>,
}

/// Listens until the test ends.
pub struct Observer {
    address: SocketAddr,
    shared: Arc<(Mutex<Shared>, Condvar)>,
}

fn lock(shared: &(Mutex<Shared>, Condvar)) -> MutexGuard<'_, Shared> {
    shared.0.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Observer {
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new((Mutex::default(), Condvar::new()));
        let answering = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let shared = Arc::clone(&answering);
                std::thread::spawn(move || hear(stream, &shared));
            }
        });
        Self { address, shared }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn calls(&self) -> Vec<Told> {
        lock(&self.shared).calls.clone()
    }

    /// Calls of a step for an event.
    pub fn count(&self, event: &str, step: &str) -> usize {
        lock(&self.shared).calls.iter().filter(|told| told.event == event && told.step == step).count()
    }

    /// Calls of this step do not return from now on.
    pub fn hold(&self, step: &str) {
        lock(&self.shared).held.insert(step.to_owned());
    }

    /// Calls of this step return again.
    pub fn let_go(&self, step: &str) {
        lock(&self.shared).held.remove(step);
        self.shared.1.notify_all();
    }
}

fn hear(stream: TcpStream, shared: &(Mutex<Shared>, Condvar)) {
    let mut line = String::new();
    let mut reader = BufReader::new(&stream);
    // Half a line comes from a process that died within it: nothing was told.
    if reader.read_line(&mut line).is_err() || !line.ends_with('\n') {
        return;
    }
    let told: Told = serde_json::from_str(&line).unwrap();
    let step = told.step.clone();
    let mut state = lock(shared);
    state.calls.push(told);
    while state.held.contains(&step) {
        state = shared.1.wait(state).unwrap_or_else(PoisonError::into_inner);
    }
    drop(state);
    let _ = (&stream).write_all(b".");
}
