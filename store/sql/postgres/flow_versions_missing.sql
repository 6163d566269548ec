-- Runs that are due for long and whose version nobody has had for as long. Whoever held one is gone. Places at gates that they had are found
-- free when gates are swept.
WITH due AS (
    SELECT id, function, version, due_at FROM billhook.flow_runs WHERE rank IS NULL AND due_at <= $2
    UNION ALL
    SELECT id, function, version, due_at FROM billhook.flow_runs WHERE rank IS NOT NULL AND blocked_on IS NULL AND due_at <= $2
), missing AS (
    SELECT id FROM due
    WHERE function = ANY($3) AND version IS NOT NULL
        AND NOT EXISTS (
            SELECT FROM billhook.flow_versions AS seen
            WHERE seen.function = due.function AND seen.version = due.version AND seen.seen_at > $2
        )
    ORDER BY due_at
    LIMIT $4
), locked AS (
    SELECT run.id FROM billhook.flow_runs AS run JOIN missing ON missing.id = run.id
    WHERE run.due_at <= $2
    FOR NO KEY UPDATE OF run SKIP LOCKED
)
UPDATE billhook.flow_runs AS run SET
    state = 'parked', due_at = NULL, holder = NULL, token = run.token + 1, parked_at = $1,
    message = replace($5, '{version}', run.version), rank = NULL, holds = 0, slot = NULL, pause = NULL
FROM locked WHERE run.id = locked.id
RETURNING run.id
