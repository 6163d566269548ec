-- Locked in the order of ids, as pages lock them.
WITH held AS (
    SELECT segment.id FROM billhook.sync_segments AS segment
    JOIN (SELECT unnest($2::bigint[]) AS id, unnest($3::bigint[]) AS token) AS given
        ON given.id = segment.id AND given.token = segment.token
    WHERE segment.holder = $1 AND segment.ended_as IS NULL
    ORDER BY segment.id
    FOR NO KEY UPDATE OF segment
)
UPDATE billhook.sync_segments AS segment SET free_at = $4
FROM held WHERE segment.id = held.id
RETURNING segment.id
