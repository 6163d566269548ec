INSERT INTO billhook.flow_run_events (function, dedupe_key, event_key, run, position, reason, noted_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (function, dedupe_key) DO NOTHING
