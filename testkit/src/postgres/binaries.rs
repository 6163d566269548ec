//! Where the server binaries are.

use std::path::{Path, PathBuf};

/// What to do when there are none.
pub const MISSING: &str = "no PostgreSQL server binaries found (initdb and postgres on PATH or under /usr/lib/postgresql): \
                           install the system's package (Debian: apt-get install postgresql)";

/// Directories in which distributions keep one directory per major version.
const VERSIONED: [&str; 2] = ["/usr/lib/postgresql", "/opt/homebrew/opt"];

/// A directory with `initdb` and `postgres`.
#[derive(Debug, Clone)]
pub struct Binaries(PathBuf);

impl Binaries {
    /// The binaries on `PATH`, or else the newest installed version.
    pub fn find() -> Option<Self> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let on_path = std::env::split_paths(&path).find_map(|directory| {
            // Often a link in a general directory; the neighbours it needs lie beside its target.
            let real = directory.join("pg_ctl").canonicalize().ok()?;
            complete(real.parent()?)
        });
        on_path.or_else(|| VERSIONED.iter().find_map(|root| newest(Path::new(root)))).map(Self)
    }

    /// Path of one program.
    pub fn program(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

fn complete(directory: &Path) -> Option<PathBuf> {
    ["initdb", "postgres"].iter().all(|name| directory.join(name).is_file()).then(|| directory.to_owned())
}

fn newest(root: &Path) -> Option<PathBuf> {
    let mut found: Vec<(u32, PathBuf)> = std::fs::read_dir(root)
        .ok()?
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let name = entry.file_name().into_string().ok()?;
            let version = name.trim_start_matches("postgresql@").parse().ok()?;
            Some((version, complete(&entry.path().join("bin"))?))
        })
        .collect();
    found.sort_unstable();
    found.pop().map(|(_, directory)| directory)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_complete_version_wins() {
        let root = tempfile::tempdir().unwrap();
        for (version, names) in
            [("9", &["initdb", "postgres"][..]), ("15", &["initdb", "postgres"]), ("16", &["initdb"])]
        {
            let bin = root.path().join(version).join("bin");
            std::fs::create_dir_all(&bin).unwrap();
            for name in names {
                std::fs::write(bin.join(name), "").unwrap();
            }
        }
        assert_eq!(newest(root.path()), Some(root.path().join("15/bin")));
    }
}
