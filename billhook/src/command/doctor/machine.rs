//! Files, disk and limits of this machine.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::Findings;
use crate::process::{DESCRIPTORS_RESERVED, descriptors_max};
use crate::settings::configuration::Configuration;
use crate::settings::database::Database;
use crate::settings::sources::FILE_NAME;

/// Less free space is a failure, in bytes: a burst of deliveries would fill it.
const FREE_BYTES_FAIL: u64 = 64 << 20;

/// Less free space deserves a look, in bytes.
const FREE_BYTES_WARN: u64 = 1 << 30;

/// Checks the machine.
pub fn check(configuration: &Configuration, findings: &mut Findings) {
    if let Database::Sqlite { path } = &configuration.database {
        check_disk(path, findings);
        check_private(path, findings);
    }
    for path in [".env", FILE_NAME] {
        check_private(Path::new(path), findings);
    }
    check_descriptors(configuration, findings);
}

fn directory_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn check_disk(path: &Path, findings: &mut Findings) {
    let directory = directory_of(path);
    let shown = directory.display();
    match rustix::fs::statvfs(&directory) {
        Ok(system) => {
            let free = system.f_bavail.saturating_mul(system.f_frsize);
            let what = format!("{} MiB free for the database in {shown}", free >> 20);
            match free {
                0..FREE_BYTES_FAIL => findings.fail(what, "make room, or deliveries will be answered 503"),
                FREE_BYTES_FAIL..FREE_BYTES_WARN => findings.warn(what, "make room before it fills"),
                _ => findings.ok(what),
            }
        }
        Err(error) => {
            findings.fail(format!("{shown} cannot be looked at: {error}"), "make the directory of the database")
        }
    }
}

/// Whether others can read a file that holds secrets or customers' data.
fn check_private(path: &Path, findings: &mut Findings) {
    let Ok(metadata) = std::fs::metadata(path) else { return };
    let shown = path.display();
    if metadata.permissions().mode() & 0o077 == 0 {
        findings.ok(format!("{shown} is for its owner only"));
    } else {
        findings.warn(format!("{shown} can be read by other users of this machine"), format!("chmod 600 {shown}"));
    }
}

fn check_descriptors(configuration: &Configuration, findings: &mut Findings) {
    let connections = u64::try_from(configuration.http.connections_max).unwrap_or(u64::MAX);
    let needed = connections.saturating_add(DESCRIPTORS_RESERVED);
    let hard = rustix::process::getrlimit(rustix::process::Resource::Nofile).maximum;
    match (descriptors_max(), hard) {
        (_, Some(hard)) if hard < needed => {
            let what = format!("this machine allows {hard} open files, and http.connections_max needs {needed}");
            findings.warn(what, "raise ulimit -Hn, or lower http.connections_max");
        }
        (Some(soft), _) => findings.ok(format!("{} open files are allowed to the server", soft.max(needed))),
        (None, _) => findings.ok("open files are not limited"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_directory_of_a_bare_name_is_the_working_directory() {
        assert_eq!(directory_of(Path::new("billhook.db")), PathBuf::from("."));
        assert_eq!(directory_of(Path::new("/var/lib/b.db")), PathBuf::from("/var/lib"));
    }
}
