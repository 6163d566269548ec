SELECT key, id, name, data, ts FROM billhook.flow_events
WHERE name = $1 AND received_at >= $2 AND scheduled_at IS NULL AND cancelled_at IS NULL
ORDER BY received_at, key LIMIT $3 OFFSET $4
