-- Gates at which runs stand, one step in the index for each, however many runs there are.
WITH RECURSIVE gates AS (
    (SELECT blocked_on AS gate FROM billhook.flow_runs WHERE blocked_on > $1 ORDER BY blocked_on LIMIT 1)
    UNION ALL
    SELECT following.gate
    FROM gates
    CROSS JOIN LATERAL (
        SELECT blocked_on AS gate FROM billhook.flow_runs WHERE blocked_on > gates.gate ORDER BY blocked_on LIMIT 1
    ) AS following
)
SELECT gate FROM gates LIMIT $2
