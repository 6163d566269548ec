SELECT object, id, account, reason, event_id, not_before FROM billhook.dirty
WHERE not_before <= $1
ORDER BY not_before, object, id, event_id, reason
LIMIT $2
