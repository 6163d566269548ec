INSERT INTO billhook.flow_runs (id, function, dedupe_key, event_key, state, due_at, created_at, rerun_of, inbox_sequence)
SELECT $2::text, run.function, 'rerun/' || $2::text, run.event_key, 'queued', $3::timestamptz, $3::timestamptz, run.id,
    (SELECT coalesce(max(sequence), 0) FROM billhook.inbox)
FROM billhook.flow_runs AS run
WHERE run.id = $1
