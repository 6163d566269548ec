SELECT key, id, name, data, ts, received_at FROM billhook.flow_events WHERE id = $1 ORDER BY received_at LIMIT 1
