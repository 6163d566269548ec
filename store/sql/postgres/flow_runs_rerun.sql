INSERT INTO billhook.flow_runs (id, function, dedupe_key, event_id, state, due_at, created_at, rerun_of)
SELECT $2::text, run.function, 'rerun/' || $2::text, run.event_id, 'queued', $3::timestamptz, $3::timestamptz, run.id
FROM billhook.flow_runs AS run JOIN billhook.flow_events AS event ON event.id = run.event_id
WHERE run.id = $1
