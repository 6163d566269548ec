-- A statement of its own, because the index on object_id serves only a condition without alternatives.
SELECT
    inbox.sequence, inbox.event_id, inbox.event_type, inbox.object, inbox.object_id, inbox.created, inbox.received_at,
    EXISTS (SELECT 1 FROM billhook.pending WHERE pending.sequence = inbox.sequence) AS is_pending,
    EXISTS (
        SELECT 1 FROM billhook.quarantine WHERE quarantine.sequence = inbox.sequence AND closed_at IS NULL
    ) AS is_quarantined
FROM billhook.inbox
WHERE ($1::text IS NULL OR event_type = $1) AND ($2::bigint IS NULL OR sequence < $2)
    AND object_id = $4 AND object_id <> ''
ORDER BY sequence DESC
LIMIT $3
