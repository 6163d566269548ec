SELECT run.id, run.function, run.message, event.key, event.id, event.name, event.data, event.ts
FROM billhook.flow_runs AS run JOIN billhook.flow_events AS event ON event.key = run.event_key
WHERE run.parked_at <= $1 ORDER BY run.parked_at LIMIT $2
