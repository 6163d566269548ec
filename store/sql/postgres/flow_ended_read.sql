SELECT
    run.id, run.function, run.token, run.state, run.result, run.message, event.key, event.id, event.name, event.data, event.ts
FROM billhook.flow_ended AS ended
JOIN billhook.flow_runs AS run ON run.id = ended.run
JOIN billhook.flow_events AS event ON event.key = run.event_key
ORDER BY ended.run LIMIT $1
