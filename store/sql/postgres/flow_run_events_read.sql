SELECT joined.run, event.key, event.id, event.name, event.data, event.ts
FROM billhook.flow_run_events AS joined JOIN billhook.flow_events AS event ON event.key = joined.event_key
WHERE joined.run = ANY($1)
ORDER BY joined.run, joined.position
