-- Runs that are due for long and whose version nobody has had for as long. Whoever held one is gone.
WITH missing AS (
    SELECT id FROM billhook.flow_runs AS run
    WHERE due_at <= $2 AND function = ANY($3) AND version IS NOT NULL
        AND NOT EXISTS (
            SELECT FROM billhook.flow_versions AS seen
            WHERE seen.function = run.function AND seen.version = run.version AND seen.seen_at > $2
        )
    ORDER BY due_at
    LIMIT $4
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE billhook.flow_runs AS run SET
    state = 'parked', due_at = NULL, holder = NULL, token = run.token + 1, parked_at = $1,
    message = replace($5, '{version}', run.version)
FROM missing WHERE run.id = missing.id
RETURNING run.id
