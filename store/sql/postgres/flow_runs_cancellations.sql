SELECT id, function, event_id, created_after, created_before, reason, requested_at, runs
FROM billhook.flow_cancellations
WHERE $1::text IS NULL OR id < $1
ORDER BY id DESC
LIMIT $2
