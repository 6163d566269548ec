-- Sorted for the order of locks.
WITH due AS (
    SELECT key FROM billhook.flow_events WHERE key = ANY($1) AND scheduled_at <= $2 ORDER BY key FOR NO KEY UPDATE
)
UPDATE billhook.flow_events AS event SET scheduled_at = NULL FROM due WHERE event.key = due.key RETURNING event.key
