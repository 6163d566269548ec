SELECT key, id, name, data, ts, scheduled_at FROM billhook.flow_events
WHERE scheduled_at IS NOT NULL ORDER BY scheduled_at, key LIMIT $1
