-- By the index of these times, and not in the order of ids, for which all runs would be read. Returns the gates that the runs leave.
WITH late AS (
    SELECT id FROM billhook.flow_runs WHERE expires_at <= $1 ORDER BY expires_at LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED
), expired AS (
    UPDATE billhook.flow_runs AS run SET
        state = 'expired', due_at = NULL, holder = NULL, token = run.token + 1, expires_at = NULL, parked_at = NULL, ended_at = $1,
        message = CASE WHEN run.started_at IS NULL THEN 'it did not begin in time' ELSE 'it did not end in time' END,
        rank = NULL, holds = 0, blocked_on = NULL, blocked_places = NULL, slot = NULL, pause = NULL
    FROM late WHERE run.id = late.id
    RETURNING run.id, run.gate_1, run.gate_2
), forgotten AS (
    DELETE FROM billhook.flow_waits WHERE run IN (SELECT id FROM expired)
), noted AS (
    INSERT INTO billhook.flow_ended (run) SELECT id FROM expired ON CONFLICT (run) DO NOTHING
)
SELECT id, gate_1, gate_2 FROM expired
