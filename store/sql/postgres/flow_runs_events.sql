-- Newest first. Ids of events tell no time, so the place of the last page's end is read from its row.
SELECT event.key, event.id, event.name, event.data, event.ts, event.received_at
FROM billhook.flow_events AS event
WHERE ($1::text IS NULL OR event.name = $1)
    AND ($2::text IS NULL
        OR (event.received_at, event.id) < (SELECT last.received_at, last.id FROM billhook.flow_events AS last WHERE last.id = $2))
ORDER BY event.received_at DESC, event.id DESC
LIMIT $3
