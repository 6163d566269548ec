-- Hot: by the index of due runs. Nobody waits here for anybody: what another node is claiming is passed over.
WITH chosen AS (
    SELECT id, due_at FROM billhook.flow_runs
    WHERE due_at <= $2 AND function = ANY($5)
    ORDER BY due_at, id
    LIMIT $4
    FOR NO KEY UPDATE SKIP LOCKED
), claimed AS (
    UPDATE billhook.flow_runs AS run SET
        token = run.token + 1, holder = $1, state = 'running', due_at = $3, started_at = coalesce(run.started_at, $2)
    FROM chosen WHERE run.id = chosen.id
    RETURNING run.id, run.function, run.event_id, run.token, run.failures, chosen.due_at AS waiting_since
)
SELECT
    claimed.id, claimed.function, claimed.token, claimed.failures, event.id, event.name, event.data, event.ts
FROM claimed JOIN billhook.flow_events AS event ON event.id = claimed.event_id
ORDER BY claimed.waiting_since, claimed.id
