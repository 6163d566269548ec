SELECT inbox.event_id, inbox.event_type, quarantine.reason, quarantine.detail, quarantine.applied, quarantine.at
FROM billhook.quarantine JOIN billhook.inbox USING (sequence)
WHERE closed_at IS NULL
ORDER BY sequence DESC
LIMIT $1
