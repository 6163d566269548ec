//! A small disk of its own, to be filled up.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, bail};
use tempfile::TempDir;

use crate::watchdog::Watchdog;

/// A file system in memory (Linux, as root). Dropping it unmounts it; when this process dies, a watchdog does.
#[derive(Debug)]
pub struct Tmpfs {
    directory: TempDir,
    _watchdog: Watchdog,
}

impl Tmpfs {
    /// Mounts a file system of this size.
    ///
    /// # Errors
    /// When this process may not mount.
    pub fn mount(megabytes: u32) -> anyhow::Result<Self> {
        let directory = tempfile::Builder::new().prefix("billhook-tmpfs-").tempdir()?;
        let script = "umount -l \"$1\" && rmdir \"$1\"";
        let watchdog = Watchdog::start(Command::new("sh"), script, directory.path())?;
        run(Command::new("mount").args(["-t", "tmpfs", "-o", &size(megabytes), "tmpfs"]).arg(directory.path()))?;
        Ok(Self { directory, _watchdog: watchdog })
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Makes it larger or smaller.
    ///
    /// # Errors
    /// When its content needs more.
    pub fn resize(&self, megabytes: u32) -> anyhow::Result<()> {
        run(Command::new("mount").args(["-o", &format!("remount,{}", size(megabytes))]).arg(self.path()))
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        // Lazily, since a process that was killed a moment ago may still have files open.
        let _ = run(Command::new("umount").arg("-l").arg(self.path()));
    }
}

fn size(megabytes: u32) -> String {
    format!("size={megabytes}m")
}

fn run(command: &mut Command) -> anyhow::Result<()> {
    let output = command.output().with_context(|| format!("{command:?} cannot be started"))?;
    if !output.status.success() {
        bail!("{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim());
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_disk_is_full_soon_and_larger_later() {
        let Ok(disk) = Tmpfs::mount(1) else {
            return crate::skip::note("a_small_disk_is_full_soon_and_larger_later", "mounting needs root");
        };
        let path = disk.path().to_owned();
        let two_megabytes = vec![1; 2 << 20];
        assert!(std::fs::write(path.join("a"), &two_megabytes).is_err());
        disk.resize(4).unwrap();
        std::fs::write(path.join("a"), &two_megabytes).unwrap();
        drop(disk);
        assert!(!path.exists());
    }
}
