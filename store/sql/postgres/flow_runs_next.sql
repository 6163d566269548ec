-- Where runs go after an execution; they are locked by the fence. Returns the gates that they leave.
WITH moved AS (
    UPDATE billhook.flow_runs AS run SET
        -- What came meanwhile is no reason to rest; after a failure, whose number grows, it is.
        state = CASE WHEN run.is_nudged AND given.state = 'waiting' AND given.failures = run.failures THEN 'queued' ELSE given.state END,
        due_at = CASE WHEN run.is_nudged AND given.state = 'waiting' AND given.failures = run.failures THEN $7 ELSE given.due_at END,
        is_nudged = false,
        holder = NULL,
        crashes = 0,
        expires_at = CASE WHEN given.due_at IS NOT NULL OR given.state = 'parked' THEN run.expires_at END,
        parked_at = CASE WHEN given.state = 'parked' THEN $7::timestamptz END,
        failures = given.failures,
        result = given.result,
        message = given.message,
        ended_at = CASE WHEN given.due_at IS NULL AND given.state <> 'parked' THEN $7::timestamptz END,
        holds = 0
    FROM (
        SELECT
            unnest($1::text[]) AS id, unnest($2::text[]) AS state, unnest($3::timestamptz[]) AS due_at,
            unnest($4::integer[]) AS failures, unnest($5::text[]) AS result, unnest($6::text[]) AS message
    ) AS given
    WHERE run.id = given.id
    RETURNING run.gate_1, run.gate_2
)
SELECT gate_1, gate_2 FROM moved WHERE gate_1 IS NOT NULL
