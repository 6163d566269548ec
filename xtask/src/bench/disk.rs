//! How fast the disk is, which decides how to read every other figure.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::Result;

/// Bytes written before each sync: a page.
const PAGE_BYTES: usize = 4096;
/// How long to measure.
const MEASURE: Duration = Duration::from_secs(1);

/// Pages appended and synced one by one, per second.
pub(super) fn syncs_per_second(directory: &Path) -> Result<f64> {
    let path = directory.join("sync-probe");
    let mut file = OpenOptions::new().create(true).append(true).open(&path)?;
    let page = [7_u8; PAGE_BYTES];
    let start = Instant::now();
    let mut syncs = 0_u32;
    while start.elapsed() < MEASURE {
        file.write_all(&page)?;
        file.sync_data()?;
        syncs += 1;
    }
    let rate = f64::from(syncs) / start.elapsed().as_secs_f64();
    std::fs::remove_file(&path)?;
    Ok(rate)
}
