UPDATE billhook.flow_events SET scheduled_at = NULL, cancelled_at = $2 WHERE key = $1 AND scheduled_at > $2
