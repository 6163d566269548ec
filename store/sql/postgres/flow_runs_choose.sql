-- As flow_runs_claim chooses, for runs that may have gates to pass.
WITH ready AS (
    SELECT id, state, gate_1, gate_2, holds, rank, crashes, NULL::timestamptz AS due_at FROM billhook.flow_runs
    WHERE rank IS NOT NULL AND blocked_on IS NULL AND function = ANY($2)
        AND (version IS NULL OR function <> ALL($4) OR (function, version) IN (SELECT * FROM unnest($4::text[], $5::text[])))
    ORDER BY rank, id
    LIMIT $3
    FOR NO KEY UPDATE SKIP LOCKED
), timers AS (
    SELECT id, state, gate_1, gate_2, holds, rank, CASE state WHEN 'running' THEN crashes + 1 ELSE crashes END AS crashes, due_at
    FROM billhook.flow_runs
    WHERE rank IS NULL AND due_at <= $1 AND function = ANY($2)
        AND (version IS NULL OR function <> ALL($4) OR (function, version) IN (SELECT * FROM unnest($4::text[], $5::text[])))
    ORDER BY due_at, id
    LIMIT $3
    FOR NO KEY UPDATE SKIP LOCKED
)
SELECT id, gate_1, gate_2, holds, state = 'running', crashes, 2 * row_number() OVER (ORDER BY due_at, id) AS turn FROM timers
UNION ALL
SELECT id, gate_1, gate_2, holds, false, crashes, 2 * row_number() OVER (ORDER BY rank, id) + 1 FROM ready
ORDER BY turn
LIMIT $3
