-- Locked in the order of ids, as everybody locks runs. The new token takes a run away from whoever holds it. Returns the gates that the
-- runs leave.
WITH chosen AS (
    SELECT id FROM billhook.flow_runs
    WHERE function = $1 AND state = ANY($2) AND created_at < $3
        AND ($4::timestamptz IS NULL OR created_at >= $4) AND ($5::text IS NULL OR event_key IN (SELECT key FROM billhook.flow_events WHERE id = $5))
    ORDER BY id
    LIMIT $6
    FOR NO KEY UPDATE
), forgotten AS (
    DELETE FROM billhook.flow_waits WHERE run IN (SELECT id FROM chosen)
), noted AS (
    INSERT INTO billhook.flow_ended (run) SELECT id FROM chosen ON CONFLICT (run) DO NOTHING
)
UPDATE billhook.flow_runs AS run SET
    token = run.token + 1, holder = NULL, state = 'cancelled', due_at = NULL, ended_at = $8, result = NULL, message = $7,
    expires_at = NULL, parked_at = NULL,
    rank = NULL, holds = 0, blocked_on = NULL, blocked_places = NULL, slot = NULL, pause = NULL
FROM chosen WHERE run.id = chosen.id
RETURNING run.gate_1, run.gate_2
