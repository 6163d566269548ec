-- The new token takes the run away from whoever holds it. One that goes on is ready at once, behind what has waited longer. Returns the
-- gates that it leaves.
UPDATE billhook.flow_runs SET
    token = token + 1, holder = NULL, state = $2, due_at = $3::timestamptz, ended_at = $4, result = $5, message = $6,
    failures = CASE WHEN $7 THEN 0 ELSE failures END, crashes = 0, parked_at = NULL,
    expires_at = CASE WHEN $3::timestamptz IS NOT NULL THEN expires_at END,
    rank = (extract(epoch FROM $3::timestamptz) * 1000)::bigint,
    holds = 0, blocked_on = NULL, blocked_places = NULL, slot = NULL, pause = NULL
WHERE id = $1
RETURNING gate_1, gate_2
