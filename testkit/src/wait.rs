//! Waiting for a condition instead of for a time.

use std::time::{Duration, Instant};

/// Pause between two looks at a condition, in milliseconds.
const LOOK_EVERY_MILLISECONDS: u64 = 5;

/// Looks until `condition` gives a value, at most for `limit`.
///
/// # Errors
/// When the condition has not come true within the limit; the message says what was waited for.
pub fn until<T>(what: &str, limit: Duration, mut condition: impl FnMut() -> Option<T>) -> anyhow::Result<T> {
    let deadline = Instant::now() + limit;
    loop {
        if let Some(value) = condition() {
            return Ok(value);
        }
        if Instant::now() >= deadline {
            anyhow::bail!("waited {limit:?} in vain for {what}");
        }
        std::thread::sleep(Duration::from_millis(LOOK_EVERY_MILLISECONDS));
    }
}

/// [`until`] for conditions that are futures; other tasks go on between two looks.
///
/// # Errors
/// As [`until`].
pub async fn until_async<T>(
    what: &str,
    limit: Duration,
    mut condition: impl AsyncFnMut() -> Option<T>,
) -> anyhow::Result<T> {
    let mut looks = tokio::time::interval(Duration::from_millis(LOOK_EVERY_MILLISECONDS));
    let looking = async {
        loop {
            looks.tick().await;
            if let Some(value) = condition().await {
                return value;
            }
        }
    };
    tokio::time::timeout(limit, looking).await.map_err(|_| anyhow::anyhow!("waited {limit:?} in vain for {what}"))
}
