DELETE FROM billhook.flow_events WHERE key IN (
    SELECT key FROM billhook.flow_events AS event
    WHERE received_at < $1 AND scheduled_at IS NULL
    AND NOT EXISTS (SELECT 1 FROM billhook.flow_runs AS run WHERE run.event_key = event.key)
    AND NOT EXISTS (SELECT 1 FROM billhook.flow_run_events AS joined WHERE joined.event_key = event.key)
    LIMIT $2
)
