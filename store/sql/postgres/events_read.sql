SELECT sequence, event_id, received_at, raw FROM billhook.inbox WHERE event_id = ANY($1) ORDER BY sequence
