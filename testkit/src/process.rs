//! What the kernel knows about a running process (Linux, `/proc`).

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal};

/// Sends a signal.
///
/// # Errors
/// When there is no such process.
pub fn signal(pid: u32, signal: Signal) -> anyhow::Result<()> {
    let target = i32::try_from(pid).ok().and_then(Pid::from_raw).context("not a process id")?;
    rustix::process::kill_process(target, signal).with_context(|| format!("signal {signal:?} to process {pid}"))
}

/// A line of `/proc/<pid>/status` that is given in kB.
fn status_kilobytes(pid: u32, name: &str) -> anyhow::Result<u64> {
    let path = format!("/proc/{pid}/status");
    let status = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    for line in status.lines() {
        if let Some(rest) = line.strip_prefix(name).and_then(|rest| rest.strip_prefix(':')) {
            return Ok(rest.trim().trim_end_matches("kB").trim().parse()?);
        }
    }
    bail!("{path} has no line {name}")
}

/// Resident memory now, in kB.
///
/// # Errors
/// When the process is gone.
pub fn rss_kilobytes(pid: u32) -> anyhow::Result<u64> {
    status_kilobytes(pid, "VmRSS")
}

/// Greatest resident memory so far, in kB.
///
/// # Errors
/// When the process is gone.
pub fn peak_rss_kilobytes(pid: u32) -> anyhow::Result<u64> {
    status_kilobytes(pid, "VmHWM")
}

/// The fields of `/proc/<pid>/stat` after the name, which may itself contain spaces and parentheses.
fn stat_fields(pid: u32) -> anyhow::Result<Vec<u64>> {
    let path = format!("/proc/{pid}/stat");
    let stat = std::fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let (_, fields) = stat.rsplit_once(')').with_context(|| format!("{path} is not understood"))?;
    Ok(fields.split_whitespace().map(|field| field.parse().unwrap_or(0)).collect())
}

/// Processor time used so far in user and kernel mode, in seconds; the kernel counts it in steps of 10 ms.
///
/// # Errors
/// When the process is gone.
pub fn cpu_seconds(pid: u32) -> anyhow::Result<f64> {
    // Counted from the state field: utime is the 12th, stime the 13th.
    let fields = stat_fields(pid)?;
    let ticks = fields.get(11).copied().unwrap_or(0) + fields.get(12).copied().unwrap_or(0);
    Ok(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// Direct children of a process.
pub fn children(pid: u32) -> Vec<u32> {
    let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
    entries
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
        .filter(|&candidate| stat_fields(candidate).is_ok_and(|fields| fields.get(1) == Some(&u64::from(pid))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_memory_and_processor_time() {
        let pid = std::process::id();
        assert!(rss_kilobytes(pid).unwrap() > 100);
        assert!(peak_rss_kilobytes(pid).unwrap() >= rss_kilobytes(pid).unwrap() / 2);
        let start = cpu_seconds(pid).unwrap();
        let mut sum = 0_u64;
        while cpu_seconds(pid).unwrap() < start + 0.02 {
            sum = crate::random::spread(sum);
        }
        assert_ne!(sum, 1);
    }
}
