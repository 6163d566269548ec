//! The file of a simulation: copied for each seed, with triggers that see what is committed, in its order.

use std::path::{Path, PathBuf};

use billhook_store::sqlite::SqliteStore;
use billhook_store::{Location, Options, Role, Store};
use billhook_testkit::sql;
use tempfile::TempDir;

/// Memory, where there is such a folder: files of simulations need not outlive anything.
const MEMORY: &str = "/dev/shm";

/// A table of the functions', and what the triggers saw.
const OBSERVED: &str = "
    CREATE TABLE booked (run TEXT NOT NULL, step TEXT NOT NULL);
    CREATE TABLE seen (number INTEGER PRIMARY KEY, what TEXT NOT NULL, about TEXT NOT NULL, detail TEXT NOT NULL, memo TEXT NOT NULL);
    CREATE TRIGGER see_event AFTER INSERT ON billhook_flow_events
        BEGIN INSERT INTO seen (what, about, detail, memo)
        VALUES (iif(NEW.scheduled_at IS NULL, 'event', 'scheduled'), NEW.id, NEW.name, NEW.ts); END;
    CREATE TRIGGER see_due AFTER UPDATE OF scheduled_at ON billhook_flow_events
        WHEN OLD.scheduled_at IS NOT NULL AND NEW.scheduled_at IS NULL AND NEW.cancelled_at IS NULL
        BEGIN INSERT INTO seen (what, about, detail, memo) VALUES ('event', NEW.id, NEW.name, NEW.ts); END;
    CREATE TRIGGER see_start AFTER INSERT ON billhook_flow_runs
        BEGIN INSERT INTO seen (what, about, detail, memo) VALUES ('start', NEW.id, NEW.function, NEW.event_key); END;
    CREATE TRIGGER see_claim AFTER UPDATE OF token ON billhook_flow_runs WHEN NEW.token <> OLD.token AND NEW.state = 'running'
        BEGIN INSERT INTO seen (what, about, detail, memo) VALUES ('claim', NEW.id, NEW.holder, NEW.token); END;
    CREATE TRIGGER see_end AFTER UPDATE OF state ON billhook_flow_runs WHEN NEW.ended_at IS NOT NULL
        BEGIN INSERT INTO seen (what, about, detail, memo) VALUES ('end', NEW.id, NEW.state, NEW.token); END;
    CREATE TRIGGER see_record AFTER INSERT ON billhook_flow_steps
        BEGIN INSERT INTO seen (what, about, detail, memo)
        VALUES (iif(NEW.is_final, 'final', 'record'), NEW.run, NEW.step, NEW.memo); END;
    CREATE TRIGGER see_change AFTER UPDATE ON billhook_flow_steps
        BEGIN INSERT INTO seen (what, about, detail, memo)
        VALUES (iif(OLD.is_final, 'change', iif(NEW.is_final, 'final', 'record')), NEW.run, NEW.step, NEW.memo); END;
    CREATE TRIGGER see_forgotten AFTER DELETE ON billhook_flow_steps
        BEGIN INSERT INTO seen (what, about, detail, memo) VALUES ('forgotten', OLD.run, OLD.step, OLD.memo); END;
";

/// A database with its tables, to be copied.
pub struct Template(TempDir);

/// A copy, gone when dropped.
pub struct Copy(PathBuf);

impl Template {
    pub fn new() -> Self {
        let memory = Path::new(MEMORY);
        let folder = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let template = Self(tempfile::Builder::new().prefix("billhook-simulation-").tempdir_in(folder).unwrap());
        let path = template.0.path().join("template.db");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let store = Store::open(options(&path)).await.unwrap();
            store.migrate().await.unwrap();
            sql::execute(&format!("sqlite:{}", path.display()), OBSERVED).unwrap();
            // It moves the log into the file.
            store.close().await;
        });
        template
    }

    pub fn copy(&self, seed: u64) -> Copy {
        let path = self.0.path().join(format!("{seed}.db"));
        std::fs::copy(self.0.path().join("template.db"), &path).unwrap();
        Copy(path)
    }
}

impl Copy {
    /// Within the runtime of the simulation.
    pub fn open(&self) -> Store {
        Store::Sqlite(SqliteStore::open_here(options(&self.0)).unwrap())
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        for suffix in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{suffix}", self.0.display()));
        }
    }
}

/// The mirror has no tables here: nobody looks at them, and a small schema opens quickly.
fn options(path: &Path) -> Options {
    Options {
        location: Location::Sqlite { path: path.to_owned() },
        tables: &[],
        catalogue_revision: 1,
        role: Role::Tool,
    }
}
