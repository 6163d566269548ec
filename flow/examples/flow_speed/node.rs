//! An engine in a process of its own, so that its memory and its time are its own.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use anyhow::{Context as _, Result, ensure};
use billhook_core::SystemClock;
use billhook_flow::engine::{Engine, EngineOptions};
use billhook_testkit::process;
use serde::{Deserialize, Serialize};

use crate::database::open;
use crate::functions::{App, functions};

/// How the process is told what it is; its further arguments are the database, its name and the number of steps.
pub const NODE: &str = "node";

/// What it says at its end.
#[derive(Debug, Serialize, Deserialize)]
pub struct Report {
    pub ended: u64,
    pub late_p50_ms: Option<f64>,
    pub late_p99_ms: Option<f64>,
}

/// Works until its standard input ends.
pub async fn serve(url: &str, name: &str, steps: u32) -> Result<()> {
    let store = open(url).await?;
    let app = Arc::new(App::new(steps));
    let clock = Arc::new(SystemClock);
    let engine = Engine::start(EngineOptions::new(name), functions(), Arc::clone(&app), store.clone(), clock);
    println!("ready");
    tokio::task::spawn_blocking(|| std::io::stdin().read_to_end(&mut Vec::new())).await??;
    engine.stop().await;
    store.close().await;
    let ended = app.ended.load(Ordering::Relaxed);
    let report = Report { ended, late_p50_ms: app.late_ms(0.5), late_p99_ms: app.late_ms(0.99) };
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}

/// Such a process. It ends with its owner.
pub struct Node {
    child: Child,
    orders: Option<ChildStdin>,
    told: BufReader<ChildStdout>,
}

impl Node {
    /// Starts one, and waits until it works.
    pub fn start(url: &str, name: &str, steps: u32) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args([NODE, url, name, &steps.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let orders = child.stdin.take();
        let told = BufReader::new(child.stdout.take().context("a process without standard output")?);
        let mut node = Self { child, orders, told };
        let hello = node.line()?;
        ensure!(hello == "ready", "the process said {hello:?} instead of being ready");
        Ok(node)
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.told.read_line(&mut line)?;
        Ok(line.trim_end().to_owned())
    }

    /// Processor seconds so far.
    pub fn cpu_seconds(&self) -> Result<f64> {
        process::cpu_seconds(self.child.id())
    }

    /// The greatest resident size so far, in megabytes.
    pub fn peak_rss_mb(&self) -> Result<f64> {
        Ok(process::peak_rss_kilobytes(self.child.id())? as f64 / 1024.0)
    }

    /// Stops it in good order.
    pub fn stop(mut self) -> Result<Report> {
        self.orders = None;
        let line = self.line()?;
        self.child.wait()?;
        serde_json::from_str(&line).with_context(|| format!("the process said {line:?}"))
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
