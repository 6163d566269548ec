-- Newest first: ids of runs sort by time.
SELECT
    run.id, run.function, event.id, event.name, run.state, run.due_at, run.holder, run.failures, run.created_at,
    run.started_at, run.ended_at, run.message, run.rerun_of, run.version
FROM billhook.flow_runs AS run JOIN billhook.flow_events AS event ON event.key = run.event_key
WHERE ($1::text IS NULL OR run.function = $1)
    AND ($2::text IS NULL OR run.state = $2)
    AND ($3::text IS NULL OR event.id = $3)
    AND ($4::timestamptz IS NULL OR run.created_at >= $4)
    AND ($5::timestamptz IS NULL OR run.created_at < $5)
    AND ($6::text IS NULL OR run.id < $6)
ORDER BY run.id DESC
LIMIT $7
