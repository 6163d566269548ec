SELECT number, object, id, kind, detail, previous_time, previous_event, read_at, found_at, confirmed_at FROM billhook.drift
WHERE confirmed_at IS NULL AND found_at < $1
ORDER BY found_at, number
LIMIT $2
