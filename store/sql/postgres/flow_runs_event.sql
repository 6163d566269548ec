SELECT id, name, data, ts, received_at FROM billhook.flow_events WHERE id = $1
