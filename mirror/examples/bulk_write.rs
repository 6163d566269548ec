//! How fast pages of a backfill go into either store, without Stripe: `cargo xtask bench write` builds and runs this.
//!
//! Objects are made and projected before the clock starts. Each transaction then does what a page does under the ordering law:
//! rows, tombstones, children, what complete lists no longer name, links. One JSON line a store and kind of object.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command talks to the person who called it")]

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use billhook_core::row::{Rank, Row, Version};
use billhook_core::table::{OnDelete, Orphans, Table};
use billhook_mirror::projection::{self, Context, ProjectedList};
use billhook_store::{CompleteList, Guard, Location, Options, Role, Store, StoreError, Transaction, Work};
use billhook_stripe::catalogue;
use billhook_testkit::events::Generator;
use billhook_testkit::{DurableDatabase, process, sql};
use serde_json::{Map, Value, json};

const USAGE: &str = "flags: --store postgres|sqlite|both --object customers|invoices|both --count 100000 --page 100 \
                     --pages 4 --workers 2 --shape plain|rich";

/// When the reads are said to have happened, Unix seconds.
const READ_AT: i64 = 1_790_000_000;

struct Settings {
    stores: Vec<&'static str>,
    objects: Vec<&'static str>,
    count: usize,
    page: usize,
    pages: usize,
    workers: usize,
    rich: bool,
}

impl Settings {
    fn parse() -> Result<Self> {
        let mut settings = Self {
            stores: vec!["postgres", "sqlite"],
            objects: vec!["customers", "invoices"],
            count: 100_000,
            page: 100,
            pages: 4,
            workers: 2,
            rich: false,
        };
        let mut arguments = std::env::args().skip(1);
        while let Some(flag) = arguments.next() {
            let value = arguments.next().with_context(|| format!("{flag} needs a value; {USAGE}"))?;
            match (flag.as_str(), value.as_str()) {
                ("--store", "postgres") => settings.stores = vec!["postgres"],
                ("--store", "sqlite") => settings.stores = vec!["sqlite"],
                ("--object", "customers") => settings.objects = vec!["customers"],
                ("--object", "invoices") => settings.objects = vec!["invoices"],
                ("--store" | "--object", "both") => {}
                ("--count", number) => settings.count = number.parse()?,
                ("--page", number) => settings.page = number.parse()?,
                ("--pages", number) => settings.pages = number.parse()?,
                ("--workers", number) => settings.workers = number.parse()?,
                ("--shape", shape) => settings.rich = shape == "rich",
                _ => bail!("unknown flag {flag}; {USAGE}"),
            }
        }
        Ok(settings)
    }
}

fn main() -> Result<()> {
    let settings = Settings::parse()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    for &store in &settings.stores {
        let database = DurableDatabase::make(store)?;
        let opened = runtime.block_on(open(database.url()))?;
        let server = sql::is_postgres(database.url()).then(|| server_process(database.url())).transpose()?;
        for &object in &settings.objects {
            // Twice: into the empty table, and once more over the same rows, as a repeated backfill does.
            for (run, read_at) in [("new", READ_AT), ("again", READ_AT + 1)] {
                let work = prepare(&settings, object, read_at)?;
                let line = runtime.block_on(measure(&settings, &opened, server, work))?;
                println!("{}", line.print(store, object, run));
            }
        }
        runtime.block_on(opened.close());
    }
    Ok(())
}

async fn open(url: &str) -> Result<Store> {
    let location = Location::from_url(url);
    let (tables, catalogue_revision) = (catalogue::tables(), catalogue::revision());
    let store = Store::open(Options { location, tables, catalogue_revision, role: Role::Server }).await?;
    store.migrate().await?;
    Ok(store)
}

/// The process whose children do the database's work.
fn server_process(url: &str) -> Result<u32> {
    let path = sql::value(url, "SELECT current_setting('data_directory')")?;
    let path = path.as_str().context("a data directory")?;
    let pids = std::fs::read_to_string(Path::new(path).join("postmaster.pid"))?;
    Ok(pids.lines().next().context("a process id")?.trim().parse()?)
}

/// Pages in transactions, in the order in which they are committed.
type Queue = Mutex<VecDeque<Pages>>;

/// Makes and projects the objects.
fn prepare(settings: &Settings, object: &'static str, read_at: i64) -> Result<Queue> {
    let table = catalogue::table_named(object).context("a table of the catalogue")?;
    let kind = if object == "customers" { 0 } else { 2 };
    let generator = Generator::new(7);
    let mut queue = VecDeque::new();
    let mut pages = Pages::new(table);
    let mut body = Vec::new();
    // Newest first, as Stripe lists.
    for number in (0..settings.count as u64).rev() {
        generator.write(3 * number + kind, READ_AT - 1_000_000 + number as i64, &mut body);
        let text = object_of(&body, settings.rich)?;
        let context = Context {
            account: "",
            version: Version { time: read_at, rank: Rank::Read },
            source_event: "",
            revives: true,
            deletes: false,
            parent: None,
        };
        let projected = projection::project(table, &text, &context).map_err(|error| anyhow::anyhow!("{error:?}"))?;
        pages.bytes += text.len();
        pages.lists.push((projected.row.id.clone(), projected.row.version, projected.lists));
        pages.rows.push(projected.row);
        if pages.rows.len() == settings.page * settings.pages {
            queue.push_back(std::mem::replace(&mut pages, Pages::new(table)));
        }
    }
    queue.push_back(pages);
    Ok(Mutex::new(queue))
}

/// The object of an event, as a list shows it. Plain objects have what Stripe always sends and little of what people add.
fn object_of(event: &[u8], rich: bool) -> Result<String> {
    let event: Value = serde_json::from_slice(event)?;
    let mut object: Map<String, Value> =
        event.pointer("/data/object").and_then(Value::as_object).context("an object")?.clone();
    if !rich {
        object.insert("metadata".to_owned(), json!({ "account_id": "4711" }));
        for property in ["description", "shipping", "footer", "custom_fields", "customer_shipping"] {
            if object.contains_key(property) {
                object.insert(property.to_owned(), Value::Null);
            }
        }
    }
    Ok(Value::Object(object).to_string())
}

/// What one transaction writes.
struct Pages {
    table: &'static Table,
    rows: Vec<Row>,
    lists: Vec<(String, Version, Vec<ProjectedList>)>,
    bytes: usize,
}

impl Pages {
    fn new(table: &'static Table) -> Self {
        Self { table, rows: Vec::new(), lists: Vec::new(), bytes: 0 }
    }
}

impl Work for Pages {
    type Output = usize;

    async fn run<T: Transaction>(self, transaction: &mut T) -> Result<usize, StoreError> {
        let written = transaction.upsert(self.table, &self.rows, Guard::Newer).await?;
        let ids: Vec<String> = self.rows.iter().map(|row| row.id.clone()).collect();
        if self.table.on_delete != OnDelete::Keep {
            transaction.tombstones(self.table, &ids).await?;
        }
        for (position, definition) in self.table.children.iter().enumerate() {
            let table = &catalogue::tables()[definition.table];
            let (mut rows, mut complete) = (Vec::new(), Vec::new());
            for (parent, version, lists) in &self.lists {
                for list in lists.iter().filter(|list| list.list == position) {
                    let children = list.rows.iter().map(|row| row.id.clone()).collect();
                    complete.push(CompleteList { parent: parent.clone(), version: *version, children });
                    rows.extend(list.rows.iter().cloned());
                }
            }
            if rows.is_empty() {
                continue;
            }
            transaction.upsert(table, &rows, Guard::NotOlder).await?;
            if let Some(column) = definition.parent_column
                && definition.orphans != Orphans::Keep
            {
                transaction.prune_children(table, column, definition.orphans, &complete).await?;
            }
        }
        transaction.link(self.table, &ids).await?;
        Ok(written.into_iter().filter(|written| *written).count())
    }
}

/// The figures of one run.
struct Line {
    rows: usize,
    bytes: usize,
    elapsed: Duration,
    client_seconds: f64,
    server_seconds: f64,
}

impl Line {
    fn print(&self, store: &str, object: &str, run: &str) -> String {
        let rows = self.rows as f64;
        let micros = |seconds: f64| (seconds * 1e7 / rows).round() / 10.0;
        format!(
            "{{\"bench\":\"write\",\"store\":\"{store}\",\"object\":\"{object}\",\"run\":\"{run}\",\"rows_per_s\":{:.0},\
             \"client_cpu_us_per_row\":{},\"server_cpu_us_per_row\":{},\"bytes_per_row\":{:.0}}}",
            rows / self.elapsed.as_secs_f64(),
            micros(self.client_seconds),
            micros(self.server_seconds),
            self.bytes as f64 / rows,
        )
    }
}

async fn measure(settings: &Settings, store: &Store, server: Option<u32>, queue: Queue) -> Result<Line> {
    let bytes = locked(&queue).iter().map(|pages| pages.bytes).sum();
    let queue = Arc::new(queue);
    let cpu = || -> Result<(f64, f64)> {
        let of_server = server.map_or(0.0, |server| {
            process::children(server).into_iter().filter_map(|pid| process::cpu_seconds(pid).ok()).sum()
        });
        Ok((process::cpu_seconds(std::process::id())?, of_server))
    };
    let (before, start) = (cpu()?, Instant::now());
    let workers: Vec<_> = (0..settings.workers)
        .map(|_| {
            let (store, queue) = (store.clone(), Arc::clone(&queue));
            tokio::spawn(async move {
                let mut written = 0;
                loop {
                    let next = locked(&queue).pop_front();
                    let Some(pages) = next else { return Ok::<usize, StoreError>(written) };
                    written += store.transact(pages).await?;
                }
            })
        })
        .collect();
    let mut rows = 0;
    for worker in workers {
        rows += worker.await??;
    }
    let (elapsed, after) = (start.elapsed(), cpu()?);
    ensure!(rows == settings.count, "{rows} rows were written of {}", settings.count);
    eprintln!("{rows} rows in {elapsed:?}");
    Ok(Line { rows, bytes, elapsed, client_seconds: after.0 - before.0, server_seconds: after.1 - before.1 })
}

fn locked(queue: &Queue) -> std::sync::MutexGuard<'_, VecDeque<Pages>> {
    queue.lock().unwrap_or_else(PoisonError::into_inner)
}
