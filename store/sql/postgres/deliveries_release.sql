-- They wait since now: a replay of an old event must not look like an old backlog.
WITH found AS (
    SELECT sequence FROM billhook.inbox WHERE event_id = ANY($1) ORDER BY sequence
), queued AS (
    INSERT INTO billhook.pending (sequence, received_at)
    SELECT sequence, now() FROM found ORDER BY sequence
    ON CONFLICT (sequence) DO NOTHING
)
SELECT count(*) FROM found
