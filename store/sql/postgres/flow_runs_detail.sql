SELECT
    run.id, run.function, event.id, event.name, run.state, run.due_at, run.holder, run.failures, run.created_at,
    run.started_at, run.ended_at, run.message, run.rerun_of, run.version, run.result
FROM billhook.flow_runs AS run JOIN billhook.flow_events AS event ON event.key = run.event_key
WHERE run.id = $1
