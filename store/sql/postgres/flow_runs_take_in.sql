WITH stray AS (
    SELECT id FROM billhook.flow_runs
    WHERE parked_at IS NOT NULL AND state = 'parked' AND function = ANY($1) AND message = $2 || function
    ORDER BY id LIMIT $4
    FOR NO KEY UPDATE SKIP LOCKED
)
UPDATE billhook.flow_runs AS run SET token = run.token + 1, state = 'queued', due_at = $3, parked_at = NULL, message = NULL
FROM stray WHERE run.id = stray.id
