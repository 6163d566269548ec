-- Hot: by the index of due runs. Nobody waits here for anybody: what another node is claiming is passed over.
WITH chosen AS (
    SELECT id, due_at, state, started_at FROM billhook.flow_runs
    WHERE due_at <= $2 AND function = ANY($5)
    ORDER BY due_at, id
    LIMIT $4
    FOR NO KEY UPDATE SKIP LOCKED
), claimed AS (
    UPDATE billhook.flow_runs AS run SET
        token = run.token + 1, holder = $1, state = 'running', due_at = $3, started_at = coalesce(run.started_at, $2),
        crashes = CASE chosen.state WHEN 'running' THEN run.crashes + 1 ELSE run.crashes END, is_nudged = false,
        expires_at = CASE WHEN run.started_at IS NULL THEN run.end_by ELSE run.expires_at END
    FROM chosen WHERE run.id = chosen.id
    RETURNING
        run.id, run.function, run.event_key, run.token, run.failures, run.crashes, run.created_at, chosen.due_at AS waiting_since,
        chosen.started_at IS NULL AS is_first, chosen.state = 'waiting' AS has_waited
)
SELECT
    claimed.id, claimed.function, claimed.token, claimed.failures, claimed.crashes, claimed.is_first, claimed.created_at,
    event.key, event.id, event.name, event.data, event.ts, claimed.has_waited
FROM claimed JOIN billhook.flow_events AS event ON event.key = claimed.event_key
ORDER BY claimed.waiting_since, claimed.id
