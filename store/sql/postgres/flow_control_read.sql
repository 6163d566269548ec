-- All that decides about a run to be started. Whoever asks has locked the keys.
SELECT
    EXISTS (SELECT FROM billhook.flow_runs WHERE function = $1 AND dedupe_key = $2)
        OR EXISTS (SELECT FROM billhook.flow_run_events WHERE function = $1 AND dedupe_key = $2),
    gathering.id, gathering.events, gathering.created_at, gathering.ts,
    (SELECT id FROM billhook.flow_runs WHERE function = $1 AND singleton = $4::text AND ended_at IS NULL),
    (SELECT next_at FROM billhook.flow_paces WHERE key = $5::text),
    (SELECT next_at FROM billhook.flow_paces WHERE key = $6::text)
FROM (VALUES (true)) AS one (row)
LEFT JOIN LATERAL (
    SELECT run.id, run.events, run.created_at, event.ts
    FROM billhook.flow_runs AS run JOIN billhook.flow_events AS event ON event.key = run.event_key
    WHERE run.function = $1 AND run.slot = $3::text
    FOR NO KEY UPDATE OF run
) AS gathering ON true
