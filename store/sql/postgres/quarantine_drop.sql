UPDATE billhook.quarantine SET closed_at = now()
FROM billhook.inbox
WHERE quarantine.sequence = inbox.sequence AND inbox.event_id = ANY($1) AND closed_at IS NULL
