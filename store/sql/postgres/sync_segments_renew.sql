UPDATE billhook.sync_segments AS segment SET free_at = $4
FROM (SELECT unnest($2::bigint[]) AS id, unnest($3::bigint[]) AS token) AS held
WHERE segment.id = held.id AND segment.token = held.token AND segment.holder = $1 AND segment.ended_as IS NULL
RETURNING segment.id
