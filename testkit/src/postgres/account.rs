//! As whom the server runs: PostgreSQL refuses to run as root.

use std::ffi::OsStr;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;

use anyhow::Context;

/// Accounts to take when this process is root, in this order.
const UNPRIVILEGED: [&str; 2] = ["postgres", "nobody"];

/// The account under which a cluster runs.
#[derive(Debug, Clone, Copy)]
pub struct Account {
    /// User and group to change to; `None` when this process is unprivileged already.
    change_to: Option<(u32, u32)>,
}

impl Account {
    /// This process's own account, or an unprivileged one when this process is root.
    ///
    /// # Errors
    /// When this process is root and `/etc/passwd` has none of the usual unprivileged accounts.
    pub fn unprivileged() -> anyhow::Result<Self> {
        if !rustix::process::geteuid().is_root() {
            return Ok(Self { change_to: None });
        }
        let accounts = std::fs::read_to_string("/etc/passwd").context("cannot read /etc/passwd")?;
        let found = UNPRIVILEGED.iter().find_map(|name| find(&accounts, name)).with_context(|| {
            format!("PostgreSQL does not run as root, and /etc/passwd has none of the accounts {UNPRIVILEGED:?}")
        })?;
        Ok(Self { change_to: Some(found) })
    }

    /// A command that runs under this account.
    pub fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        if let Some((user, group)) = self.change_to {
            command.uid(user).gid(group);
        }
        command
    }

    /// Gives a directory to this account.
    ///
    /// # Errors
    /// When the file system refuses.
    pub fn own(&self, path: &Path) -> anyhow::Result<()> {
        if let Some((user, group)) = self.change_to {
            std::os::unix::fs::chown(path, Some(user), Some(group))
                .with_context(|| format!("cannot give {} to user {user}", path.display()))?;
        }
        Ok(())
    }
}

/// User and group number of an account in the text of `/etc/passwd`.
fn find(accounts: &str, name: &str) -> Option<(u32, u32)> {
    accounts.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next() != Some(name) {
            return None;
        }
        Some((fields.nth(1)?.parse().ok()?, fields.next()?.parse().ok()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_found_by_their_whole_name() {
        let text = "root:x:0:0:root:/root:/bin/sh\npostgres2:x:7:8::/:/\npostgres:x:101:104:a,b:/var:/bin/bash\n";
        assert_eq!(find(text, "postgres"), Some((101, 104)));
        assert_eq!(find(text, "post"), None);
    }
}
