-- Notes of events that started nothing; the others go with their runs.
DELETE FROM billhook.flow_run_events WHERE (function, dedupe_key) IN (
    SELECT function, dedupe_key FROM billhook.flow_run_events WHERE run IS NULL AND noted_at < $1 ORDER BY noted_at LIMIT $2
)
