-- No lock: what another node applies meanwhile is not claimed again. $4 are the deliveries that wait in memory. A row is taken while
-- the bodies before it are less than the limit, so the answer is at most the limit and one body. octet_length reads the size
-- from the row's header and decompresses nothing.
WITH waiting AS MATERIALIZED (
    SELECT sequence FROM billhook.pending
    WHERE received_at < $1 AND sequence <> ALL ($4::bigint[])
    ORDER BY sequence LIMIT $2
), measured AS MATERIALIZED (
    SELECT sequence, octet_length(raw) AS bytes FROM waiting JOIN billhook.inbox USING (sequence)
), sized AS (
    SELECT sequence, bytes, sum(bytes) OVER (ORDER BY sequence) AS bytes_so_far FROM measured
)
SELECT sequence, inbox.event_id, inbox.received_at, inbox.raw
FROM sized JOIN billhook.inbox AS inbox USING (sequence)
WHERE bytes_so_far - bytes < $3
ORDER BY sequence
