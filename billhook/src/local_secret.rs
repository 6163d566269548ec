//! A webhook secret for the first minute: made at random for SQLite on a loopback address and kept beside the database.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use anyhow::{Context as _, bail};
use billhook_core::Secret;
use ring::rand::{SecureRandom, SystemRandom};

use crate::failure::Hinted;

/// What every such secret begins with.
const PREFIX: &str = "whsec_local_";

/// Random bytes in it, as many as in Stripe's own.
const RANDOM_BYTES: usize = 16;

/// Owner only.
const FILE_MODE: u32 = 0o600;

/// Reads the secret; `None` when there is none yet.
///
/// # Errors
/// When the file cannot be read, when others may read it, or when it holds something else.
pub fn read(path: &Path) -> anyhow::Result<Option<Secret>> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error).with_context(|| format!("read {}", path.display())),
    };
    let mode = fs::metadata(path).with_context(|| format!("read {}", path.display()))?.permissions().mode();
    if mode & 0o077 != 0 {
        let message = format!("{} can be read by other users", path.display());
        return Err(Hinted::new(message, format!("chmod 600 {}", path.display())).into());
    }
    let text = text.trim_end();
    let is_secret = text
        .strip_prefix(PREFIX)
        .is_some_and(|random| random.len() == 2 * RANDOM_BYTES && random.bytes().all(|byte| byte.is_ascii_hexdigit()));
    if !is_secret {
        let message = format!("{} does not hold a local webhook secret", path.display());
        return Err(Hinted::new(message, "remove the file, and a new secret is made at the next start").into());
    }
    Ok(Some(Secret::new(text)))
}

/// Reads the secret or makes one. The second value is true when it was made.
///
/// # Errors
/// As [`read`], and when the file cannot be written.
pub fn read_or_make(path: &Path) -> anyhow::Result<(Secret, bool)> {
    if let Some(secret) = read(path)? {
        return Ok((secret, false));
    }
    let secret = random()?;
    write(path, &secret).with_context(|| format!("write {}", path.display()))?;
    Ok((secret, true))
}

fn random() -> anyhow::Result<Secret> {
    Ok(Secret::new(format!("{PREFIX}{}", random_hex()?)))
}

/// Random hexadecimal digits, as many as a secret has.
///
/// # Errors
/// When the system gives no random bytes.
pub fn random_hex() -> anyhow::Result<String> {
    let mut bytes = [0_u8; RANDOM_BYTES];
    if SystemRandom::new().fill(&mut bytes).is_err() {
        bail!("the system gave no random bytes for a secret");
    }
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

/// Writes the whole file before it gets its name, so that a crash leaves either none or a good one.
fn write(path: &Path, secret: &Secret) -> io::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".new");
    match fs::remove_file(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(FILE_MODE).open(&unfinished)?;
    file.write_all(format!("{}\n", secret.expose()).as_bytes())?;
    file.sync_all()?;
    fs::rename(&unfinished, path)
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_secret_is_made_once_and_only_for_its_owner() {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("billhook.db.secret");
        assert_eq!(read(&path).unwrap(), None);
        let (made, new) = read_or_make(&path).unwrap();
        assert!(new);
        assert_eq!(made.expose().len(), PREFIX.len() + 32);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(read_or_make(&path).unwrap(), (made, false));
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }

    #[test]
    fn two_secrets_differ() {
        assert_ne!(random().unwrap(), random().unwrap());
    }

    #[test]
    fn a_file_that_others_may_read_is_refused() {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("s");
        read_or_make(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("other users"));
    }

    #[test]
    fn a_file_with_something_else_is_refused_without_its_content() {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("s");
        for text in ["", "whsec_local_", "CANARY", "whsec_local_zz112233445566778899aabbccddeeff"] {
            let _ = fs::remove_file(&path);
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).unwrap();
            file.write_all(text.as_bytes()).unwrap();
            let message = format!("{:#}", read(&path).unwrap_err());
            assert!(message.contains("does not hold") && !message.contains("CANARY"), "{message}");
        }
    }
}
