-- The next ones of these gates may try again. They are candidates and no more: the claim decides who gets the places.
WITH given AS (
    SELECT unnest($1::text[]) AS gate, unnest($2::integer[]) AS places
), chosen AS (
    SELECT next.id
    FROM given
    CROSS JOIN LATERAL (
        SELECT id FROM billhook.flow_runs
        WHERE blocked_on = given.gate
        ORDER BY rank, id
        LIMIT given.places
        FOR NO KEY UPDATE SKIP LOCKED
    ) AS next
)
UPDATE billhook.flow_runs AS run SET due_at = $3, blocked_on = NULL, blocked_places = NULL FROM chosen WHERE run.id = chosen.id
