-- $1: what was due at this time or before has waited for long, and a function that was not seen since is known to nobody.
WITH stray AS (
    SELECT run.id FROM billhook.flow_runs AS run
    WHERE run.due_at <= $1 AND NOT run.function = ANY($2)
        AND NOT EXISTS (SELECT 1 FROM billhook.flow_known_functions AS known WHERE known.id = run.function AND known.seen_at > $1)
        AND NOT EXISTS (SELECT 1 FROM billhook.flow_functions AS paused WHERE paused.id = run.function)
    ORDER BY run.due_at, run.id LIMIT $5
    FOR NO KEY UPDATE SKIP LOCKED
), parked AS (
    UPDATE billhook.flow_runs AS run SET
        token = run.token + 1, state = 'parked', due_at = NULL, holder = NULL, is_nudged = false, parked_at = $3,
        message = $4 || run.function
    FROM stray WHERE run.id = stray.id
    RETURNING run.function
)
SELECT function, count(*) FROM parked GROUP BY function ORDER BY function
