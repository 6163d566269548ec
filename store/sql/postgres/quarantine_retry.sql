WITH closed AS (
    UPDATE billhook.quarantine SET closed_at = now()
    FROM billhook.inbox
    WHERE quarantine.sequence = inbox.sequence AND inbox.event_id = ANY($1) AND closed_at IS NULL
    RETURNING inbox.sequence
), queued AS (
    INSERT INTO billhook.pending (sequence, received_at) SELECT sequence, now() FROM closed
    ON CONFLICT (sequence) DO NOTHING
)
SELECT count(*) FROM closed
