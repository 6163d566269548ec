-- $1: what was due at this time or before has waited for long, and a function that was not seen since is known to nobody. Places at gates
-- that they had are found free when gates are swept.
WITH due AS (
    SELECT id, function, due_at FROM billhook.flow_runs WHERE rank IS NULL AND due_at <= $1
    UNION ALL
    SELECT id, function, due_at FROM billhook.flow_runs WHERE rank IS NOT NULL AND blocked_on IS NULL AND due_at <= $1
), stray AS (
    SELECT due.id FROM due
    WHERE NOT due.function = ANY($2)
        AND NOT EXISTS (SELECT 1 FROM billhook.flow_known_functions AS known WHERE known.id = due.function AND known.seen_at > $1)
        AND NOT EXISTS (SELECT 1 FROM billhook.flow_functions AS paused WHERE paused.id = due.function)
    ORDER BY due.due_at, due.id LIMIT $5
), locked AS (
    SELECT run.id FROM billhook.flow_runs AS run JOIN stray ON stray.id = run.id
    WHERE run.due_at <= $1
    FOR NO KEY UPDATE OF run SKIP LOCKED
), parked AS (
    UPDATE billhook.flow_runs AS run SET
        token = run.token + 1, state = 'parked', due_at = NULL, holder = NULL, is_nudged = false, parked_at = $3,
        message = $4 || run.function, rank = NULL, holds = 0, slot = NULL, pause = NULL
    FROM locked WHERE run.id = locked.id
    RETURNING run.function
)
SELECT function, count(*) FROM parked GROUP BY function ORDER BY function
