WITH found AS (
    SELECT sequence, received_at FROM billhook.inbox WHERE event_id = ANY($1) ORDER BY sequence
), queued AS (
    INSERT INTO billhook.pending (sequence, received_at)
    SELECT sequence, received_at FROM found ORDER BY sequence
    ON CONFLICT (sequence) DO NOTHING
)
SELECT count(*) FROM found
