-- Locked in the order of ids, as everybody locks runs. The new token takes a run away from whoever holds it.
WITH chosen AS (
    SELECT id FROM billhook.flow_runs
    WHERE function = $1 AND state = ANY($2) AND created_at < $3
        AND ($4::timestamptz IS NULL OR created_at >= $4) AND ($5::text IS NULL OR event_id = $5)
    ORDER BY id
    LIMIT $6
    FOR NO KEY UPDATE
)
UPDATE billhook.flow_runs AS run SET
    token = run.token + 1, holder = NULL, state = 'cancelled', due_at = NULL, ended_at = $8, result = NULL, message = $7
FROM chosen WHERE run.id = chosen.id
