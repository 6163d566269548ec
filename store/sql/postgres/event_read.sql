SELECT
    inbox.sequence, inbox.event_id, inbox.event_type, inbox.object, inbox.object_id, inbox.created, inbox.received_at,
    EXISTS (SELECT 1 FROM billhook.pending WHERE pending.sequence = inbox.sequence) AS is_pending,
    EXISTS (
        SELECT 1 FROM billhook.quarantine WHERE quarantine.sequence = inbox.sequence AND closed_at IS NULL
    ) AS is_quarantined,
    inbox.api_version, inbox.secret_index, inbox.raw, inbox.sha256
FROM billhook.inbox
WHERE event_id = $1
