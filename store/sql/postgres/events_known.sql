SELECT event_id FROM billhook.inbox WHERE event_id = ANY($1)
