UPDATE billhook.flow_events SET scheduled_at = NULL, cancelled_at = $4
WHERE name = $1 AND schedule_key = $2 AND key <> $3 AND scheduled_at IS NOT NULL
