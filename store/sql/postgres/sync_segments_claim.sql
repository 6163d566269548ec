-- Nobody waits here for anybody: what another session is claiming or committing is passed over.
WITH chosen AS (
    SELECT id, free_at FROM billhook.sync_segments
    WHERE ended_as IS NULL AND is_reconcile = $5 AND free_at <= $2
    ORDER BY free_at, id
    LIMIT $4
    FOR NO KEY UPDATE SKIP LOCKED
), claimed AS (
    UPDATE billhook.sync_segments AS segment SET token = segment.token + 1, holder = $1, free_at = $3
    FROM chosen WHERE segment.id = chosen.id
    RETURNING
        segment.id, segment.run, segment.stream, segment.created_gte, segment.created_lt, segment.cursor, segment.token,
        segment.attempts, chosen.free_at AS waiting_since
)
SELECT
    claimed.id, claimed.run, run.object, claimed.stream, claimed.created_gte, claimed.created_lt, claimed.cursor, claimed.token,
    run.trigger, run.related, run.requested_at, claimed.attempts
FROM claimed JOIN billhook.sync_runs AS run ON run.id = claimed.run
ORDER BY claimed.waiting_since, claimed.id
