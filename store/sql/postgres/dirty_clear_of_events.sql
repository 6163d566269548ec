DELETE FROM billhook.dirty WHERE event_id = ANY($1) AND event_id <> ''
