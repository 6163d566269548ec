SELECT number, object, id, kind, detail, previous_time, previous_event, read_at, found_at, confirmed_at FROM billhook.drift
ORDER BY number DESC
LIMIT $1
